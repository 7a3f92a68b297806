-- Take silent buyers out of the line; they keep their number and may come back. If a third of the line fell silent within
-- one timeout, that is an outage of ours and not people leaving: then only those silent for two timeouts go.
-- KEYS 1 epoch  2 clock  3 alive (zset by ms)  4 waiting  5 returning  6 counts  7 sweeping (hash since, swept)
-- ARGV 1 ghost timeout (ms)  2 most buyers in one call
-- Result: number taken out
-- @include epoch
-- @include now

if not epoch_of(KEYS[1]) then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local now, timeout = now_of(KEYS[2]), tonumber(ARGV[1])
local silent_since = now - timeout
if redis.call('ZCOUNT', KEYS[3], '-inf', '(' .. silent_since) == 0 then return 0 end

local window = redis.call('HMGET', KEYS[7], 'since', 'swept')
local since, swept = tonumber(window[1] or 0), tonumber(window[2] or 0)
if now - since >= timeout then since, swept = now, 0 end

local living = redis.call('ZCOUNT', KEYS[3], silent_since, '+inf')
local fallen = swept + redis.call('ZCOUNT', KEYS[3], silent_since - timeout, '(' .. silent_since)
local CROWD = 10 -- below it, a third is one or two people
if living + fallen >= CROWD and fallen * 3 >= living + fallen then silent_since = silent_since - timeout end

local ghosts = redis.call('ZRANGE', KEYS[3], '-inf', '(' .. silent_since, 'BYSCORE', 'LIMIT', 0, ARGV[2])
for _, buyer in ipairs(ghosts) do
  redis.call('ZREM', KEYS[3], buyer)
  redis.call('ZREM', KEYS[4], buyer)
  redis.call('ZREM', KEYS[5], buyer)
end
redis.call('HSET', KEYS[7], 'since', since, 'swept', swept + #ghosts)
if #ghosts > 0 then redis.call('HINCRBY', KEYS[6], 'ghosts', #ghosts) end
return #ghosts
