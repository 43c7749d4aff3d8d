-- Fold lines of another datacenter's state into one video's, without numbering them.
--
-- KEYS  state
-- ARGV  the lines

for _, line in ipairs(ARGV) do
  if relayed_has_room(KEYS[1]) then fold(KEYS[1], line) end
end
return #ARGV
