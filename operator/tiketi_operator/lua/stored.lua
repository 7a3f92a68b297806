-- Read the stored sale sheet and who serves it.
-- KEYS 1 sheet (JSON)  2 adopted (decimal)  3 epoch (hash epoch, run_id)
-- Result {sheet or nil, adopted version or 0, 1 if the line was begun on this server, server time in ms}
-- @include begun_here
-- @include server_time

return {
  redis.call('GET', KEYS[1]),
  tonumber(redis.call('GET', KEYS[2]) or '0'),
  begun_here(KEYS[3]) and 1 or 0,
  server_time(),
}
