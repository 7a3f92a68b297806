-- Whether this epoch's memory is still being built here: no other process took over, and Redis did not lose it again.
local function is_building(key, epoch)
  local pair = redis.call('HMGET', key, 'building', 'server')
  return pair[1] == epoch and pair[2] == string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
end
