-- Charge a wrong presale code to budgets that refill evenly (GCRA): to all of them, or to none. A right one needs a try
-- left in each, and costs nothing.
-- KEYS times (ms) at which each budget is whole again
-- ARGV 1 1 if the code was wrong  2.. for each key in turn: burst (tries), refill (ms for one try)
-- Result 0, or the time to wait in ms
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local longest = 0
local whole_at = {}
for i, key in ipairs(KEYS) do
  local burst, refill = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  whole_at[i] = math.max(now, tonumber(redis.call('GET', key) or now)) + refill
  longest = math.max(longest, whole_at[i] - now - burst * refill)
end
if longest > 0 then return longest end
if ARGV[1] == '0' then return 0 end
for i, key in ipairs(KEYS) do
  redis.call('SET', key, whole_at[i], 'PX', whole_at[i] - now)
end
return 0
