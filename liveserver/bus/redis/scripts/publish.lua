-- Publish to the nodes' inboxes and the feed. Included after log.lua in the scripts that publish.
--
-- `route` is `-`, or in a Redis Cluster with sharded pub/sub (sharded.py) `tag:need`: a tag of a slot of this
-- server, and how the feed is listened to: `all`, at all servers, by some of its listeners; `sharded`: by sharded
-- pub/sub; `none`: not at all. It is the caller's view of the cluster and may be outdated: SPUBLISH fails if the slot is
-- elsewhere, and reaches none if the listeners have another view. PUBLISH reaches all.

-- Return how many listeners SPUBLISH reached at this server.
local function publish_here(tag, name, message)
  local reached = redis.pcall('SPUBLISH', 'ls:{' .. tag .. '}:' .. name, message)
  return type(reached) == 'number' and reached or 0
end

-- Return how many listeners were reached; in a cluster that is not known of PUBLISH.
local function publish_to_node(node, message)
  local tag = string.match(route, '^(.+):')
  local reached = tag and publish_here(tag, 'inbox:' .. node, message) or 0
  if reached > 0 then return reached end
  return call('PUBLISH', 'ls:inbox:' .. node, message) + CLUSTER
end

local function publish_to_feed(message)
  local tag, need = string.match(route, '^(.+):(%w+)$')
  local reached = tag and need ~= 'all' and publish_here(tag, 'feed', message) or 0
  if reached == 0 and need ~= 'none' then call('PUBLISH', 'ls:feed', message) end
end

