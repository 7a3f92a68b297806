-- Take silent buyers out of the line; they keep their number and may come back. If a third of the line fell silent within
-- one timeout, that is an outage of ours and not people leaving: then only those silent for two timeouts go.
-- KEYS 1 epoch  2 clock  3 places  4 waiting  5 returning  6 living  7 alive (zset by ms)  8 counts
--      9 sweeping (hash since, swept)
-- ARGV 1 ghost timeout (ms)  2 most buyers in one call
-- Result: number taken out
-- @include epoch
-- @include now
-- @include lining_up

local EPOCH, CLOCK, PLACES, WAITING, RETURNING, LIVING, ALIVE, COUNTS, SWEEPING = unpack(KEYS)
if not epoch_of(EPOCH) then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local now, timeout = now_of(CLOCK), tonumber(ARGV[1])
local silent_since = now - timeout
if redis.call('ZCOUNT', ALIVE, '-inf', '(' .. silent_since) == 0 then return 0 end

local window = redis.call('HMGET', SWEEPING, 'since', 'swept')
local since, swept = tonumber(window[1] or 0), tonumber(window[2] or 0)
if now - since >= timeout then since, swept = now, 0 end

local living = redis.call('ZCOUNT', ALIVE, silent_since, '+inf')
local fallen = swept + redis.call('ZCOUNT', ALIVE, silent_since - timeout, '(' .. silent_since)
local CROWD = 10 -- below it, a third is one or two people
if living + fallen >= CROWD and fallen * 3 >= living + fallen then silent_since = silent_since - timeout end

local ghosts = redis.call('ZRANGE', ALIVE, '-inf', '(' .. silent_since, 'BYSCORE', 'LIMIT', 0, ARGV[2])
for _, buyer in ipairs(ghosts) do
  redis.call('ZREM', ALIVE, buyer)
  step_out(WAITING, RETURNING, LIVING, buyer, redis.call('HGET', PLACES, buyer))
end
redis.call('HSET', SWEEPING, 'since', since, 'swept', swept + #ghosts)
if #ghosts > 0 then redis.call('HINCRBY', COUNTS, 'ghosts', #ghosts) end
return #ghosts
