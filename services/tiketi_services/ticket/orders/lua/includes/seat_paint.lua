-- A seat's paint is "hold|buyer|until_ms", or "sold". Beside the seats stand what the queue counts with: how many of each
-- section have paint at all (taken:<SECTION>), and for whom seats are held until when.
local function until_of(paint) return tonumber(string.match(paint, '|(%d+)$')) or 0 end

local function buyer_of(paint) return string.match(paint, '^[^|]*|(.*)|%d+$') end

local function section_of(seat) return string.match(seat, '^[^-]+') end

local function put(seats, counts, holding, seat, paint)
  if redis.call('HSET', seats, seat, paint) == 1 then redis.call('HINCRBY', counts, 'taken:' .. section_of(seat), 1) end
  if paint ~= 'sold' then redis.call('ZADD', holding, 'GT', until_of(paint), buyer_of(paint)) end
end

-- A buyer with other seats is no longer counted by those, but as one who may still need some: too careful, never too free.
local function forget_holder(holding, paint)
  local buyer = buyer_of(paint)
  if buyer then redis.call('ZREM', holding, buyer) end
end
