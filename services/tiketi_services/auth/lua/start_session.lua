-- Begin a session at turn 1.
-- KEYS 1 session (hash: account, turn, rotated_at ms)
-- ARGV 1 account  2 time to live (ms)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'account', ARGV[1], 'turn', 1, 'rotated_at', now)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
