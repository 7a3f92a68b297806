-- Set the rate of an event, once for a window whichever pods have decided; and note it for the operator to tell.
-- KEYS 1 epoch  2 clock  3 rate (hash perMinute, window, knee, cut)  4 notes (stream)
-- ARGV 1 window (10 s since 1970) the rate is set in  2 window it was set in before, as the pod has read it, 0: never
--      3 buyers per minute, '' for the policy's rate  4 rate at which trouble came, '' for none
--      5 window of the last cut  6 reason  7 message  8 1 if it is a warning
-- Result: 1 if set; 0 if another pod has, or the pod's clock is ahead
-- @include epoch
-- @include now

if not epoch_of(KEYS[1]) then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local window = tonumber(ARGV[1])
if window > math.floor(now_of(KEYS[2]) / 10000) + 1 then return 0 end
if tonumber(redis.call('HGET', KEYS[3], 'window') or 0) ~= tonumber(ARGV[2]) then return 0 end

redis.call('HSET', KEYS[3], 'window', window, 'cut', ARGV[5])
for field, value in pairs({perMinute = ARGV[3], knee = ARGV[4]}) do
  if value == '' then redis.call('HDEL', KEYS[3], field) else redis.call('HSET', KEYS[3], field, value) end
end
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 1000, '*', 'reason', ARGV[6], 'message', ARGV[7], 'warning', ARGV[8])
return 1
