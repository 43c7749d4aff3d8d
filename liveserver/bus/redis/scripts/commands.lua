-- List the commands that this user may not use, or that Redis does not have under their names.
--
-- KEYS  an unused key
-- ARGV  commands, with harmless arguments after spaces; KEY stands for the key

local missing = {}
for _, command in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(command, '%S+') do words[#words + 1] = word == 'KEY' and KEYS[1] or word end
  local reply = redis.pcall(unpack(words))
  local problem = type(reply) == 'table' and reply.err or ''
  if string.find(problem, 'NOPERM') or string.find(problem, "can't run") or string.find(problem, 'nknown') then
    missing[#missing + 1] = words[1]
  end
end
redis.pcall('DEL', KEYS[1])
return missing
