-- Whether the event's line was begun on this very server. If not, Redis was restarted or lost its memory, and
-- every script of ticket refuses to go on with the line.
local function begun_here(key)
  local pair = redis.call('HMGET', key, 'epoch', 'run_id')
  local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  return pair[1] and pair[2] == run_id
end
