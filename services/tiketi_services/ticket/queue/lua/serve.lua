-- Offer slots to the next places, as many as rate, slots and stock allow. Idempotent: any pod may call it at any moment.
-- First come those whose place was passed and who asked again, then the horizon moves on. The horizon only grows, and never
-- past the mark that PostgreSQL has. Nobody is served before the order of the line is known, nor after a recovery until the
-- crowd is back (``hold_living`` of them) or ``hold_until`` has passed.
-- KEYS 1 epoch  2 clock  3 seq  4 places  5 waiting (zset by seq)  6 returning (zset by place)  7 living  8 serving  9 rate
--      10 active  11 holding  12 counts  13 draw  14 limits  15 crowded (hash by 10 s)
--      16 offers of this line  17.. offers of the event's other lines
-- ARGV 1 opens (ms)  2 closes (ms)  3 time of the draw (ms), 0 for none  4 1 if paused  5 new users per minute  6 slots
--      7 stock  8 claim window (ms)  9 most offers in one call  10 first of the given places  11 how many are given
--      12.. their seqs in the drawn order  then the sections sold in this line
-- Result {horizon, entries (0: not drawn), number offered now, number lapsed now, 1 if more places should be given}
-- @include epoch
-- @include now
-- @include entries
-- @include gauge
-- @include stock

local EPOCH, CLOCK, SEQ, PLACES, WAITING, RETURNING, LIVING, SERVING, RATE, ACTIVE, HOLDING, COUNTS, DRAW, LIMITS, CROWDED,
  OFFERS =
  unpack(KEYS)
if not epoch_of(EPOCH) then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local now = now_of(CLOCK)
local opens, draw_at, paused, claim_window = tonumber(ARGV[1]), tonumber(ARGV[3]), ARGV[4] == '1', tonumber(ARGV[8])
local from, given = tonumber(ARGV[10]), tonumber(ARGV[11])
local entries, is_drawn = entries_of(DRAW, SEQ, draw_at, now)
if not is_drawn then entries = 0 end
local is_open = now >= opens and now < tonumber(ARGV[2]) and not paused and (is_drawn or draw_at == 0)
local gauge = gauge_of(SERVING, RATE, tonumber(ARGV[5]), opens, now, is_open)

local after = expected_after(now, claim_window)
local missed = redis.call('ZCOUNT', OFFERS, '(' .. gauge.missed, after)
gauge.missed = after
gauge.tokens = gauge.tokens + missed * (1 - gauge.share)
if not paused then gauge.no_shows = gauge.no_shows + missed end -- while it is paused nobody can come
local lapsed = redis.call('ZREMRANGEBYSCORE', OFFERS, '-inf', now)
redis.call('ZREMRANGEBYSCORE', ACTIVE, '-inf', now)

-- How many more claims there is room for, beside those expected.
local function room()
  gauge.share = math.min(MOST_NO_SHOWS, gauge.no_shows / (gauge.shows + gauge.no_shows + DOUBT))
  if gauge.tokens + 1e-9 < 1 then return 0 end
  local expected = 0
  for i = 16, #KEYS do expected = expected + redis.call('ZCOUNT', KEYS[i], '(' .. after, '+inf') end
  local weight = 1 - gauge.share
  local wanted = math.min(gauge.tokens, tonumber(ARGV[6]) - redis.call('ZCARD', ACTIVE) - expected * weight)
  if wanted > 0 then
    local free = free_stock(tonumber(ARGV[7]), COUNTS, ACTIVE, HOLDING, now, 12 + given, wanted + expected * weight)
    wanted = math.min(wanted, free - expected * weight)
  end
  return math.max(0, math.min(tonumber(ARGV[9]), wanted))
end

-- Whether the crowd is still coming back after a recovery.
local function is_held()
  local hold = redis.call('HMGET', SERVING, 'hold_until', 'hold_living')
  if not hold[1] then return false end
  local back = redis.call('ZCARD', WAITING) + redis.call('ZCARD', RETURNING)
  if now < tonumber(hold[1]) and back < 0.9 * tonumber(hold[2] or 0) then return true end
  redis.call('HDEL', SERVING, 'hold_until', 'hold_living')
  return false
end

local offered, passed, lacks_places = 0, gauge.horizon, false
local function offer(buyer, seq)
  redis.call('ZADD', OFFERS, now + claim_window, buyer)
  redis.call('SETBIT', LIVING, seq, 0)
  offered = offered + 1
end

-- Somebody has to wait, this second. Only such times show how fast the line can be: in others it was as fast as buyers came.
local function note_crowd()
  local second = math.floor(now / 1000)
  local stretch, bit = math.floor(second / 10), 2 ^ (second % 10)
  local noted = tonumber(redis.call('HGET', CROWDED, stretch) or nil)
  if not noted then
    for _, old in ipairs(redis.call('HKEYS', CROWDED)) do
      if tonumber(old) < stretch - 60 then redis.call('HDEL', CROWDED, old) end
    end
  end
  if math.floor((noted or 0) / bit) % 2 == 0 then redis.call('HSET', CROWDED, stretch, (noted or 0) + bit) end
end

local may_offer = is_open and not is_held()
local wanted = may_offer and room() or 0
if wanted > 0 then
  -- Who has asked again will come: these are not offered more slots than there are.
  local first = redis.call('ZPOPMIN', RETURNING, math.floor(wanted + 1e-9))
  for i = 1, #first, 2 do offer(first[i], redis.call('HGET', PLACES, first[i])) end

  -- An offer to the others takes the share of a token, and of a slot, that is expected to be claimed.
  local free = math.min(tonumber(ARGV[9]), offered + math.floor((wanted - offered) / (1 - gauge.share) + 1e-9))
  local limit = tonumber(redis.call('HGET', LIMITS, 'serving') or 0)
  while offered < free and passed < math.min(entries, limit) do
    local index = passed + 2 - from
    if index < 1 or index > given then
      lacks_places = true
      break
    end
    local seq = ARGV[11 + index]
    local buyer = redis.call('ZRANGEBYSCORE', WAITING, seq, seq)[1]
    if buyer then
      redis.call('ZREM', WAITING, buyer)
      offer(buyer, seq)
    end
    passed = passed + 1
  end

  if offered < free and passed >= entries then
    local next = redis.call('ZRANGEBYSCORE', WAITING, '-inf', limit, 'WITHSCORES', 'LIMIT', 0, free - offered)
    for i = 1, #next, 2 do
      redis.call('ZREM', WAITING, next[i])
      offer(next[i], next[i + 1])
      passed = math.max(passed, tonumber(next[i + 1]))
    end
    -- Who is left waits beyond the mark, which is raised from where the horizon is.
    if offered < free and redis.call('ZCARD', WAITING) > 0 then passed = math.max(passed, limit) end
  end
end

if may_offer and redis.call('ZCARD', WAITING) + redis.call('ZCARD', RETURNING) > 0 then note_crowd() end
if offered > 0 or missed > 0 or passed > gauge.horizon or gauge.is_new then
  gauge.tokens = gauge.tokens - offered * (1 - gauge.share)
  gauge.horizon = passed
  keep_gauge(SERVING, gauge, now)
end
if offered > 0 then redis.call('HINCRBY', COUNTS, 'offered', offered) end
if lapsed > 0 then redis.call('HINCRBY', COUNTS, 'lapsed', lapsed) end
return {passed, entries, offered, lapsed, lacks_places and 1 or 0}
