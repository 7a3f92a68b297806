-- The epoch of the line, or nil if this is not the server the event was registered on: Redis lost its memory.
local function epoch_of(key)
  local pair = redis.call('HMGET', key, 'epoch', 'run_id')
  if not (pair[1] and pair[2]) then return nil end
  -- A plain search: matching a pattern costs more.
  local is_here = string.find(redis.call('INFO', 'server'), 'run_id:' .. pair[2] .. '\r\n', 1, true)
  return is_here and tonumber(pair[1]) or nil
end
