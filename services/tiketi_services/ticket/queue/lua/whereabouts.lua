-- Where buyers are who do not wait in line.
-- KEYS 1 epoch  2 clock  3 places (hash buyer -> seq)  4 claimed (hash buyer -> session)  5 active (zset by ms)
--      6 sessions (hash)
-- ARGV 1.. buyers
-- Result: for each of them: 'admitted' (is shopping), 'out' (left, went silent, or is done), or 'unknown' (has no place
--         here: never joined, or Redis lost it)
-- @include epoch
-- @include now
-- @include shopping

if not epoch_of(KEYS[1]) then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local now = now_of(KEYS[2])
local found = {}
for i = 1, #ARGV do
  local buyer = ARGV[i]
  if redis.call('HEXISTS', KEYS[3], buyer) == 0 then
    found[i] = 'unknown'
  elseif session_end(KEYS[4], KEYS[6], KEYS[5], buyer) > now then
    found[i] = 'admitted'
  else
    found[i] = 'out'
  end
end
return found
