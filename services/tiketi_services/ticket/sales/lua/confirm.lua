-- Note the sheet that is served, once the event's memory is built on this server. A pod that is behind never takes a newer
-- one back.
-- KEYS 1 adopted  2 sheet  3 epoch (hash epoch, run_id; only read)
-- ARGV 1 version
-- Result: 1 if noted; 0 if a newer one is, the event was deleted meanwhile, or its memory is yet to be built
local pair = redis.call('HMGET', KEYS[3], 'epoch', 'run_id')
if not pair[1] or pair[2] ~= string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') then return 0 end
local adopted = tonumber(redis.call('GET', KEYS[1]) or 0)
if tonumber(ARGV[1]) <= adopted or redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
