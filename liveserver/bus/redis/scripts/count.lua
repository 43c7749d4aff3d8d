-- Return one video's current viewer count.
--
-- KEYS  nodes viewers tally
--
-- Returns `origin datacenter total`.

local datacenter, total = count_viewers(KEYS[1], KEYS[2], KEYS[3], now_ms())
return string.format('%s %d %d', ORIGIN, datacenter, total)
