-- Store a sale sheet under a new version, unless the stored sheet says the same.
-- KEYS 1 sheet (JSON)  2 sheet-version (decimal)  3 adopted (decimal, only read)
-- ARGV 1 content: the sheet as a JSON object without its version
-- Result {version, 1 if written, adopted version or 0, server time in ms}
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local version = tonumber(redis.call('GET', KEYS[2]) or '0')
local adopted = tonumber(redis.call('GET', KEYS[3]) or '0')

local function sheet(number)
  return string.format('{"version":%.0f,', number) .. string.sub(ARGV[1], 2)
end

if redis.call('GET', KEYS[1]) == sheet(version) then
  return {version, 0, adopted, now}
end
version = math.max(version + 1, now)
redis.call('SET', KEYS[1], sheet(version))
redis.call('SET', KEYS[2], string.format('%.0f', version))
return {version, 1, adopted, now}
