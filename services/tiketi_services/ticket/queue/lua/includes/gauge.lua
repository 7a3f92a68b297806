-- How fast buyers come in. The gauge of a line is two buckets that fill at its rate while it is open, ``tokens`` for offers
-- and ``claims``; and how many of those who were offered a slot came (``shows``) and did not (``no_shows``), faded by time.
-- An offer costs the share of a token that is expected to be claimed; a claim pays the rest. An offer that nobody has taken
-- for a while is missed: it counts as a no-show and is paid back at once, not when it lapses; if it is claimed after all,
-- that is taken back. So the line moves at its rate however many do not come, and however long offers last.
local FADES = 300000 -- ms in which what was measured loses two thirds of its weight
local PATIENCE = 4000 -- ms after which an offer that nobody took is missed: pages that are there claim by themselves
local DOUBT = 5 -- claims' worth of doubt, so that the first no-show is not taken for the rule
local MOST_NO_SHOWS = 0.8

-- The gauge as it is now. per_minute is the policy's; adaptive admission may have set less (hash at ``rate``).
local function gauge_of(serving, rate, per_minute, opens, now, is_open)
  local f = redis.call('HMGET', serving, 'horizon', 'tokens', 'claims', 'at', 'shows', 'no_shows', 'share',
    'missed')
  local per_ms = math.min(per_minute, tonumber(redis.call('HGET', rate, 'perMinute') or per_minute)) / 60000
  local tokens, claims, at = tonumber(f[2] or 1), tonumber(f[3] or 1), tonumber(f[4] or now)
  local elapsed = math.max(0, now - at)
  -- A clock that jumps, or pods that were away, must not open the gate at once: at most 2 s count.
  local filled = is_open and math.min(2000, elapsed, now - opens) * per_ms or 0
  local faded = math.exp(-elapsed / FADES)
  local gauge = {
    horizon = tonumber(f[1] or 0),
    tokens = math.min(math.max(1, per_ms * 2000), tokens + filled),
    claims = math.min(math.max(1, per_ms * 5000), claims + filled),
    shows = tonumber(f[5] or 0) * faded,
    no_shows = tonumber(f[6] or 0) * faded,
    share = tonumber(f[7] or 0),
    missed = tonumber(f[8] or 0), -- offers that lapse up to then (ms) were found missed
  }
  gauge.is_new = not f[4] or gauge.tokens ~= tokens or gauge.claims ~= claims
  return gauge
end

local function keep_gauge(serving, gauge, now)
  local exact = '%.17g'
  redis.call('HSET', serving, 'horizon', gauge.horizon, 'at', now, 'tokens', exact:format(gauge.tokens),
    'claims', exact:format(gauge.claims), 'shows', exact:format(gauge.shows),
    'no_shows', exact:format(gauge.no_shows), 'share', exact:format(gauge.share), 'missed', gauge.missed)
end

-- Offers that lapse later than this (ms) are still expected to be claimed.
local function expected_after(now, claim_window)
  return now + math.max(0, claim_window - PATIENCE)
end
