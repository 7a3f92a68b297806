-- Take a session one turn on; its time to live begins anew. Returns
--   {'rotated', account, turn}  the token of this turn is to be given out; within the grace the same one again
--   {'reused', account}         a token used before the last one: somebody has a copy. The session is gone
--   {'unknown'}                 no such session
-- KEYS 1 session (hash: account, turn, rotated_at ms)
-- ARGV 1 turn of the token presented (proved to be ours)  2 grace (ms)  3 time to live (ms)
local account, turn, rotated_at = unpack(redis.call('HMGET', KEYS[1], 'account', 'turn', 'rotated_at'))
if not account then return {'unknown'} end
turn = tonumber(turn)
local presented = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if presented == turn - 1 and now - tonumber(rotated_at) <= tonumber(ARGV[2]) then
  return {'rotated', account, turn}
end
if presented < turn then
  redis.call('DEL', KEYS[1])
  return {'reused', account}
end
-- A later turn than ours is a failover that lost the last rotation: the token proves that it took place.
turn = presented + 1
redis.call('HSET', KEYS[1], 'turn', turn, 'rotated_at', now)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'rotated', account, turn}
