-- Make a video's messages due later, if there are any.
--
-- KEYS  due
-- ARGV  1 video  2 by how much (ms)

call('ZADD', KEYS[1], 'XX', now_ms() + tonumber(ARGV[2]), ARGV[1])
return 1
