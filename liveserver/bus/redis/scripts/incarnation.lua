-- Detect a new incarnation of Redis, and whether all members have reported to it. The first command of each
-- pipeline that opens logs. (proof/numbering.pml models and checks this protocol.)
--
-- KEYS  run members
-- ARGV  1 process  2 incarnations to which it has reported all heads it knows; `new`: it knows none
--       3 the view of the members that it saw last, or empty  4 incarnations for whose settling it has waited
--
-- An incarnation is a start of Redis as master or a promotion to it: each has a replication id of its own. It may
-- begin with any earlier state. `run` is a hash:
--   id        of the incarnation
--   verdict   absent: undecided; `complete`: every member has reported, so a log goes on unless a report said
--             that it was further; `partial`: a member is missing, or the list of members is not the newest, so
--             that each log begins a new epoch
--   copied    the view with which the incarnation began
--   view      changes with the members: a generation, and the incarnation in which it came to be
--   time, skew  Redis' clock when it was looked at last, and what its steps add up to (ms)
-- `members` is a hash of the processes that may know heads: process -> incarnation to which it reported.
--
-- A process that has waited long enough decides `partial`: time decides how soon, and never causes a number to
-- be assigned twice. In a cluster each server has its own `run` and `members`, and all processes call all servers.
--
-- Returns `id verdict view now`, `-` for no verdict.

local run, members = KEYS[1], KEYS[2]
local process, reported, seen, waited = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local id = string.match(call('INFO', 'replication'), 'master_replid:(%w+)')
if not id then return redis.error_reply('ERR INFO replication does not have master_replid') end
local state = call('HMGET', run, 'id', 'verdict', 'view', 'time', 'skew', 'copied')
local verdict, view = state[2], state[3] or '0 -'

local function change_view(above)
  local generation = math.max(tonumber(string.match(view, '%d+')), above or 0) + 1
  view = string.format('%d %s', generation, string.sub(id, 1, 12))
  call('HSET', run, 'view', view)
end

if state[1] ~= id then
  verdict = nil
  if call('EXISTS', members) == 0 then verdict = 'partial' end -- none vouches for what is here
  call('HSET', run, 'id', id, 'copied', view)
  state[6] = view
  call('HDEL', run, 'verdict')
  -- In a cluster the processes that know more of a log may be connected to another server.
  if CLUSTER == 1 and state[1] then call('PUBLISH', 'ls:life', '') end
end
local decided = state[1] == id and verdict

-- A leap of the clock, which is read every second, is a step: no time has passed.
local time = call('TIME')
time = time[1] * 1000 + math.floor(time[2] / 1000)
skew = tonumber(state[5] or 0)
local passed = time - tonumber(state[4] or time)
if passed < 0 or passed > LEAP then
  skew = skew + passed
  call('HSET', run, 'skew', skew)
end
-- To store the time and extend the expiry: several times a second is enough.
local is_due = passed < 0 or passed > 200 or not state[4] or state[1] ~= id
if is_due then call('HSET', run, 'time', time) end
local now = time - skew

local row = call('HGET', members, process)
local has_reported = reported == 'new' or string.find(reported, id, 1, true)
if not verdict and seen ~= '' and string.match(seen, '%w+$') ~= string.sub(id, 1, 12) then
  local copied = state[6] or view
  local ours, theirs = tonumber(string.match(copied, '%d+')), tonumber(string.match(seen, '%d+'))
  if theirs > ours or theirs == ours and seen ~= copied then
    verdict = 'partial'
    change_view(theirs) -- so that it is remembered when the same data is lost once more
  end
end
if not row then change_view() end
if not row or has_reported and row ~= id then
  row = has_reported and id or '-'
  call('HSET', members, process, row)
  is_due = true
end
if not verdict then
  local missing = {}
  local rows = call('HGETALL', members)
  for i = 1, #rows, 2 do
    if rows[i + 1] ~= id then missing[#missing + 1] = rows[i] end
  end
  if not missing[1] then
    verdict = 'complete'
  elseif string.find(waited, id, 1, true) then
    verdict = 'partial'
    for _, name in ipairs(missing) do call('HDEL', members, name) end
    change_view()
  end
end
if verdict and not decided then call('HSET', run, 'verdict', verdict) end
if is_due then call('PEXPIRE', members, IDLE + 2 * META_LIVES_ON) end
if is_due then call('PEXPIRE', run, IDLE + 2 * META_LIVES_ON) end
return string.format('%s %s %s %d', id, verdict or '-', view, now)
