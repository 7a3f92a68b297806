-- The memory is built: scripts serve the event again. Slots are offered once nearly all who waited are back, or a few
-- seconds have passed: whoever comes back first must not overtake.
-- KEYS 1 epoch  2 clock  3 adopted  4 notes (stream)  5.. serving of each line (hash)
-- ARGV 1 epoch that is built  2 version of the sheet  3 longest wait for the living (ms)  4 what to tell, or ''
--      5.. how many of each line waited when it was lost
-- Result 1; 0 if somebody else took over, or Redis lost it again, and nothing is written
-- @include building
-- @include now

if not is_building(KEYS[1], ARGV[1]) then return 0 end
local now = now_of(KEYS[2])
for i = 5, #KEYS do
  redis.call('HSET', KEYS[i], 'at', now)
  if tonumber(ARGV[i]) > 0 then
    redis.call('HSET', KEYS[i], 'hold_until', string.format('%.0f', now + ARGV[3]), 'hold_living', ARGV[i])
  end
end
if tonumber(redis.call('GET', KEYS[3]) or 0) < tonumber(ARGV[2]) then redis.call('SET', KEYS[3], ARGV[2]) end
if ARGV[4] ~= '' then
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', 1000, '*', 'reason', 'LineRecovered', 'message', ARGV[4], 'warning', 1)
end
local server = redis.call('HGET', KEYS[1], 'server')
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'run_id', server)
redis.call('HDEL', KEYS[1], 'building', 'server')
return 1
