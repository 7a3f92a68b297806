-- When the session that a buyer has from this line ends (ms); 0 if there is none, or another line's has begun since.
local function session_end(claimed, sessions, active, buyer)
  local session = redis.call('HGET', claimed, buyer)
  if not session or redis.call('HGET', sessions, buyer) ~= session then return 0 end
  return tonumber(redis.call('ZSCORE', active, buyer) or 0)
end
