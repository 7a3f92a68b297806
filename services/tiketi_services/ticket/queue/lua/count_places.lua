-- Add the places that one process gave out since it last told, and say how busy the line is. Advice only, so it asks
-- for no epoch: after a loss of Redis counting begins anew.
-- KEYS 1 networks (u32 counters)  2 rush (hash second -> places)
-- ARGV 1 window (s)  2 how long counters outlive the last place (s)  3.. pairs: counter, places
-- Result places given out in the last ``window`` seconds, by all processes
local second = tonumber(redis.call('TIME')[1])
local window = tonumber(ARGV[1])
local places = 0
for i = 3, #ARGV, 2 do
  redis.call('BITFIELD', KEYS[1], 'OVERFLOW', 'SAT', 'INCRBY', 'u32', '#' .. ARGV[i], ARGV[i + 1])
  places = places + tonumber(ARGV[i + 1])
end
if places > 0 then
  redis.call('EXPIRE', KEYS[1], ARGV[2])
  redis.call('HINCRBY', KEYS[2], second, places)
  redis.call('EXPIRE', KEYS[2], window)
end
local rush = 0
local seconds = redis.call('HGETALL', KEYS[2])
for i = 1, #seconds, 2 do
  if tonumber(seconds[i]) <= second - window then
    redis.call('HDEL', KEYS[2], seconds[i])
  else
    rush = rush + tonumber(seconds[i + 1])
  end
end
return rush
