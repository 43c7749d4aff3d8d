-- The state of a video: the newest event of each key. liveserver/state.py has the rules and the form of a keyed
-- line. The state is a hash: key → the line, reduced to its head and id if it clears the key; `#bytes`, the
-- size of keys and lines; `#purged`, when old tombstones were last removed (ms).
--
-- Settings: STATE_KEYS, STATE_BYTES, AGE, IDLE.

local KEYED = 59 -- `;`, with which a keyed line begins
local FIELDS = 2 -- fields of the hash that are not keys
local RELAYED_ROOM = 4 -- times the limits: events that other datacenters have accepted may exceed them
local OWN_ROOM = 2 -- times the limits: the server's own events, as bans and totals, whatever publishers have filled
local OWN_KEYS = {settings = true, pin = true}
local OWN_PREFIXES = {likes = true, revoked = true, ban = true, clear = true, waiting = true}
local PURGE_PAUSE = 10000 -- ms

local function parse(line)
  local key, version, at, flags, id = string.match(line, '^;[^; ]*;([^; ]*);([^; ]*);(%d+);(%l*) {"id":"([^"]*)"')
  if not key or key == '' then return nil end
  return {key = key, version = tonumber(version) or -1, at = tonumber(at), id = id,
    is_cleared = string.find(flags, 'c', 1, true) ~= nil}
end

local function is_newer(event, other)
  if event.version ~= other.version then return event.version > other.version end
  if event.at ~= other.at then return event.at > other.at end
  -- By bytes: `<` would compare strings as the server's locale does.
  for i = 1, math.min(#event.id, #other.id) do
    local mine, theirs = string.byte(event.id, i), string.byte(other.id, i)
    if mine ~= theirs then return mine > theirs end
  end
  return #event.id > #other.id
end

-- Return the part of an event's line that is kept.
local function kept(event, line)
  if not event.is_cleared then return line end
  return string.match(line, '^([^ ]* )') .. '{"id":"' .. event.id .. '"}'
end

-- Fold an event; return false if it is older than the state. Lines without a key are ignored.
local function fold(state, line)
  if string.byte(line) ~= KEYED then return true end
  local event = parse(line)
  if not event then return true end
  local before = call('HGET', state, event.key)
  if before and not is_newer(event, parse(before)) then return false end
  local after = kept(event, line)
  local grown = before and #after - #before or #event.key + #after
  call('HSET', state, event.key, after)
  call('HINCRBY', state, '#bytes', grown)
  if not before then
    call('HSETNX', state, '#purged', 0)
    call('PEXPIRE', state, IDLE + META_LIVES_ON)
  end
  return true
end

local function sizes(state)
  return math.max(call('HLEN', state) - FIELDS, 0), tonumber(call('HGET', state, '#bytes') or 0)
end

-- Remove the tombstones that are older than any log: no older event can arrive any more.
local function purge(state, now)
  if now - tonumber(call('HGET', state, '#purged') or 0) < PURGE_PAUSE then return end
  call('HSET', state, '#purged', now)
  local fields, gone = call('HGETALL', state), 0
  for i = 1, #fields, 2 do
    local event = string.byte(fields[i + 1]) == KEYED and parse(fields[i + 1])
    if event and event.is_cleared and event.at < now - 2 * AGE then
      gone = gone + #fields[i] + #fields[i + 1]
      call('HDEL', state, fields[i])
    end
  end
  if gone > 0 then call('HINCRBY', state, '#bytes', -gone) end
end

local function is_own(key)
  return OWN_KEYS[key] or OWN_PREFIXES[string.match(key, '^(%l+)/') or '']
end

-- Return whether `count` arguments from `start` on fit into the state. Those that do not enlarge it always fit.
local function has_room(state, start, count, now)
  local more_keys, more_bytes, known, room = 0, 0, {}, OWN_ROOM
  for i = start, start + count - 1 do
    local event = string.byte(ARGV[i]) == KEYED and parse(ARGV[i])
    if event then
      local before = known[event.key] or call('HSTRLEN', state, event.key)
      local size = #kept(event, ARGV[i])
      if before == 0 then
        more_keys, more_bytes = more_keys + 1, more_bytes + #event.key
      end
      more_bytes = more_bytes + math.max(size - before, 0)
      if size > before and not is_own(event.key) then room = 1 end
      known[event.key] = math.max(size, before)
    end
  end
  if more_keys == 0 and more_bytes == 0 then return true end
  local function fits()
    local keys, bytes = sizes(state)
    return keys + more_keys <= room * STATE_KEYS and bytes + more_bytes <= room * STATE_BYTES
  end
  if fits() then return true end
  purge(state, now)
  return fits()
end

local function relayed_has_room(state)
  local keys, bytes = sizes(state)
  return keys < RELAYED_ROOM * STATE_KEYS and bytes < RELAYED_ROOM * STATE_BYTES
end

