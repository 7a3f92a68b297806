-- Add a process' answers to those of all, in one window of adaptive admission.
-- KEYS 1 samples (hash of counters)
-- ARGV 1 how long they are of use (s)  2, 4, ... counter  3, 5, ... by how much
for i = 2, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
