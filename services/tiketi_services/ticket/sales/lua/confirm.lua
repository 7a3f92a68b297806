-- Note the sheet that is served; a pod that is behind never takes it back.
-- KEYS 1 adopted  2 sheet
-- ARGV 1 version
-- Result: 1 if noted; 0 if a newer one is, or the event was deleted meanwhile
local adopted = tonumber(redis.call('GET', KEYS[1]) or 0)
if tonumber(ARGV[1]) <= adopted or redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
