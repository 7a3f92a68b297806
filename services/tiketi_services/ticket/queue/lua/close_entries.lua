-- Close a line's entries once their time has come: numbers given out from then on come after those that are drawn.
-- Idempotent; any script of the line that comes first does the same.
-- KEYS 1 epoch  2 clock  3 draw (hash n, at, ready)  4 seq (counter)  5 serving (hash)  6 waiting  7 returning
-- ARGV 1 when the entries close (ms)
-- Result {'early'}, or {'closed', n, when (ms), 1 if everybody who can be expected is there, epoch}. After a loss of Redis
--        buyers come back by themselves; those who are not back when the entries are read have a place, but no leaf.
-- @include epoch
-- @include now
-- @include entries

local epoch = epoch_of(KEYS[1])
if not epoch then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local now, draw_at = now_of(KEYS[2]), tonumber(ARGV[1])
local n = entries_of(KEYS[3], KEYS[4], draw_at, now)
if not n then return {'early'} end
local at = tonumber(redis.call('HGET', KEYS[3], 'at') or draw_at)
local hold = redis.call('HMGET', KEYS[5], 'hold_until', 'hold_living')
local living = redis.call('ZCARD', KEYS[6]) + redis.call('ZCARD', KEYS[7])
local is_complete = now >= tonumber(hold[1] or 0) or living >= tonumber(hold[2] or 0)
return {'closed', n, at, is_complete and 1 or 0, epoch}
