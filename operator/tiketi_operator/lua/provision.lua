-- Store a sale sheet under a new version, unless the stored sheet says the same.
-- KEYS 1 sheet (JSON)  2 sheet-version (decimal)  3 adopted (decimal, only read)
--      4 epoch (hash epoch, run_id; only read)
-- ARGV 1 content: the sheet as a JSON object without its version
-- Result {version, adopted version or 0, 1 if the line was begun on this server, server time in ms}
-- @include begun_here
-- @include server_time

local now = server_time()
local version = tonumber(redis.call('GET', KEYS[2]) or '0')
local adopted = tonumber(redis.call('GET', KEYS[3]) or '0')
local is_begun_here = begun_here(KEYS[4]) and 1 or 0

local function sheet(number)
  return string.format('{"version":%.0f,', number) .. string.sub(ARGV[1], 2)
end

if redis.call('GET', KEYS[1]) == sheet(version) then
  return {version, adopted, is_begun_here, now}
end
version = math.max(version + 1, now)
redis.call('SET', KEYS[1], sheet(version))
redis.call('SET', KEYS[2], string.format('%.0f', version))
return {version, adopted, is_begun_here, now}
