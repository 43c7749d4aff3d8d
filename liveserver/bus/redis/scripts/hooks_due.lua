-- List the videos with messages for an endpoint that are due.
--
-- KEYS  due
-- ARGV  1 limit
--
-- Returns now (ms), and the videos.

local now = now_ms()
local found = call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
table.insert(found, 1, string.format('%d', now))
return found
