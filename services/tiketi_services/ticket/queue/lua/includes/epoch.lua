-- The epoch of the line, or nil if this is not the server the event was registered on: Redis lost its memory.
local function epoch_of(key)
  local pair = redis.call('HMGET', key, 'epoch', 'run_id')
  local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  if pair[1] and pair[2] == run_id then return tonumber(pair[1]) end
  return nil
end
