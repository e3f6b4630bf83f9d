#!lua name=feedmill_@VERSION@

-- A list has ids as decimal strings, the oldest first. Its first entry tells how complete it is:
-- '0': no older ids were ever trimmed; '1': the list is not yet filled; an id: older ids were trimmed.

local COMPLETE, BUILDING = '0', '1'
local LATE, LATE_S = ':late', 180 -- the last id inserted below the newest entry, which the tail does not show

-- Lua's numbers are doubles, too small for ids, so ids are compared as text.
local function before(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end

-- The number of entries of `list` that are not newer than `id`.
local function rank(list, id)
  local low, high = 0, #list
  while low < high do
    local middle = math.floor((low + high + 1) / 2)
    if before(id, list[middle]) then high = middle - 1 else low = middle end
  end
  return low
end

-- Insert an id below the newest one. Returns entries written, entries that existed.
local function insert(key, id)
  local list = redis.call('LRANGE', key, 0, -1)
  local position = rank(list, id)
  if position == 0 then return 0, 0 end -- below the oldest entry, where other ids were trimmed too
  if list[position] == id then return 0, 1 end
  redis.call('LINSERT', key, 'AFTER', list[position], id)
  local clock = redis.call('TIME')
  redis.call('SET', key .. LATE, clock[1] .. '.' .. clock[2] .. '.' .. id, 'EX', LATE_S)
  return 1, 0
end

-- Add args[from..to], ids in ascending order, to the feed that ends with `tail`. Returns entries written, entries that existed.
local function put(key, tail, args, from, to, cap, limit)
  local call, length, written, held = redis.call, 0, 0, 0
  for i = from, to do
    local id = args[i]
    if tail == id then
      held = held + 1
    elseif before(tail, id) then
      length = call('RPUSH', key, id)
      tail, written = id, written + 1
    else
      local new, old = insert(key, id)
      written, held = written + new, held + old
    end
  end
  if length > limit then call('LTRIM', key, -cap, '-1') end
  return written, held
end

-- KEYS feeds; ARGV cap, slack, seconds, ids in ascending order. Feeds that do not exist are not created; feeds whose time
-- to live is less than the seconds are deleted. Returns entries written, entries that existed, feeds deleted.
local function push(keys, args)
  local call, cap, floor = redis.call, tonumber(args[1]), tonumber(args[3])
  local limit, written, held, dropped = cap + tonumber(args[2]), 0, 0, 0
  local first, last = args[4], #args
  for i = 1, #keys do
    local key = keys[i]
    local tail = call('LINDEX', key, '-1')
    if tail and floor > 0 and call('TTL', key) < floor then
      call('UNLINK', key)
      dropped = dropped + 1
    elseif tail == first and last == 4 then -- a post that was delivered before
      held = held + 1
    elseif tail then
      local new, old = put(key, tail, args, 4, last, cap, limit)
      written, held = written + new, held + old
    end
  end
  return { written, held, dropped }
end

-- The same with one id per feed. Returns one character per feed: w(ritten), h(eld before), d(eleted), - (none of these).
local function push_each(keys, args)
  local call, cap, floor, outcomes = redis.call, tonumber(args[1]), tonumber(args[3]), {}
  local limit = cap + tonumber(args[2])
  for i, key in ipairs(keys) do
    local tail = call('LINDEX', key, '-1')
    outcomes[i] = '-'
    if tail and floor > 0 and call('TTL', key) < floor then
      call('UNLINK', key)
      outcomes[i] = 'd'
    elseif tail then
      local new, old = put(key, tail, args, 3 + i, 3 + i, cap, limit)
      if new == 1 then outcomes[i] = 'w' elseif old == 1 then outcomes[i] = 'h' end
    end
  end
  return table.concat(outcomes)
end

-- KEYS feeds; ARGV id. Returns entries removed, feeds that did not have it. The search starts at the end, with new ids.
local function withdraw(keys, args)
  local call, taken, without = redis.call, 0, 0
  for _, key in ipairs(keys) do
    if call('LREM', key, '-1', args[1]) == 1 then
      taken = taken + 1
    else
      without = without + call('EXISTS', key)
    end
  end
  return { taken, without }
end

-- KEYS feed; ARGV ttl in seconds. Create an absent list, so that pushes are added while it is being filled.
local function begin(keys, args)
  if redis.call('EXISTS', keys[1]) == 0 then redis.call('RPUSH', keys[1], BUILDING) end
  redis.call('EXPIRE', keys[1], args[1])
  return 1
end

-- KEYS feed; ARGV cap, ttl, '1' if the list is filled now, ids in ascending order.
-- Replace the list by its union with the ids, limited to the newest `cap`. Returns 0 if there is no list.
local function merge(keys, args)
  local key, cap, list = keys[1], tonumber(args[1]), redis.call('LRANGE', keys[1], 0, -1)
  if #list == 0 then return 0 end
  local head, i, j = nil, 1, 4
  if list[1] == COMPLETE or list[1] == BUILDING then head, i = list[1], 2 end
  if args[3] == '1' and head == BUILDING then head = COMPLETE end
  while head == nil and j <= #args and before(args[j], list[1]) do j = j + 1 end
  local union = {}
  while i <= #list or j <= #args do
    local a, b = list[i], args[j]
    if b == nil or (a ~= nil and before(a, b)) then
      union[#union + 1], i = a, i + 1
    else
      union[#union + 1], j = b, j + 1
      if a == b then i = i + 1 end
    end
  end
  redis.call('DEL', key)
  if head == COMPLETE and #union >= cap then head = nil end
  if head then redis.call('RPUSH', key, head) end
  for start = math.max(1, #union - cap + 1), #union, 100 do
    redis.call('RPUSH', key, unpack(union, start, math.min(start + 99, #union)))
  end
  redis.call('EXPIRE', key, args[2])
  return 1
end

-- KEYS feed, snapshot; ARGV ttl of the snapshot.
local function snapshot(keys, args)
  if redis.call('COPY', keys[1], keys[2], 'REPLACE') == 0 then return 0 end
  return redis.call('EXPIRE', keys[2], args[1])
end

-- KEYS feed, its snapshot, the replacement; ARGV cap, ttl. Ids that were added after the snapshot stay.
local function swap(keys, args)
  local live, before = redis.call('LRANGE', keys[1], 0, -1), redis.call('LRANGE', keys[2], 0, -1)
  redis.call('DEL', keys[2])
  if #live == 0 or #before == 0 then
    redis.call('DEL', keys[3])
    return 0
  end
  local old, since = {}, { args[1], args[2], '0' }
  for _, id in ipairs(before) do old[id] = true end
  for _, id in ipairs(live) do
    if not old[id] and id ~= COMPLETE and id ~= BUILDING then since[#since + 1] = id end
  end
  redis.call('RENAME', keys[3], keys[1])
  return merge({ keys[1] }, since)
end

-- KEYS feed, number of the last unpushed range merged into it; ARGV cap, ttl, number of a range, ids in ascending order.
-- Returns 0 if there is no list.
local function merge_unpushed(keys, args)
  local range = args[3]
  args[3] = '0'
  if merge(keys, args) == 0 then return 0 end
  if tonumber(redis.call('GET', keys[2]) or '0') <= tonumber(range) then redis.call('SET', keys[2], range, 'EX', args[2]) end
  return 1
end

-- KEYS ranges: 'open' has the number of the open range, 'last' that of the last one, each number its interval; ARGV first
-- id, last id, the oldest id in any feed, ttl. Opening a range deletes those that are too old for any feed.
local function extend(keys, args)
  local call, key, first, last = redis.call, keys[1], args[1], args[2]
  local gap = call('HGET', key, 'open')
  if gap then
    local low, high = string.match(call('HGET', key, gap), '(%d+)-(%d+)')
    if before(low, first) then first = low end
    if before(last, high) then last = high end
  else
    local fields = call('HGETALL', key)
    for i = 1, #fields, 2 do
      local high = string.match(fields[i + 1], '-(%d+)')
      if high and before(high, args[3]) then call('HDEL', key, fields[i]) end
    end
    -- Numbers come from the clock, because feeds store them for longer than the ranges exist.
    local clock, previous = call('TIME'), tonumber(call('HGET', key, 'last') or '0')
    gap = string.format('%.0f', math.max(previous + 1, clock[1] * 1000 + math.floor(clock[2] / 1000)))
    call('HSET', key, 'open', gap, 'last', gap)
  end
  call('HSET', key, gap, first .. '-' .. last)
  call('EXPIRE', key, args[4])
  return 1
end

-- KEYS ranges; ARGV as for extend, then '1' if the new server is taken care of. A server with another id than before was a
-- replica or was restarted, and may lack the last writes: then open a range. Returns 1 if a range was opened.
local function settle(keys, args)
  local server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
  local before_it = redis.call('HGET', keys[1], 'server')
  if not before_it or args[5] == '1' then redis.call('HSET', keys[1], 'server', server) end
  redis.call('EXPIRE', keys[1], args[4])
  if not before_it or before_it == server or args[5] == '1' then return 0 end
  return extend(keys, args)
end

-- KEYS the progress of posts that were delivered without chunks; ARGV ttl, time in ms, then for each post the number of
-- followers and of feeds that have it. The first plan, start and end of a post stay.
local function delivered(keys, args)
  local call, ttl, now = redis.call, args[1], args[2]
  for i, key in ipairs(keys) do
    local known = call('HMGET', key, 'plan', 'done:0', 'started_at')
    local fields = { 'mode', 'push', 'followers', args[2 * i + 1] }
    local function add(name, value) fields[#fields + 1], fields[#fields + 2] = name, value end
    if not known[1] then add('plan', '0,0') end
    if not known[2] then add('done:0', args[2 * i + 2] .. '-' .. now) end
    if not known[3] then add('started_at', now) end
    call('HSET', key, unpack(fields))
    call('HDEL', key, 'dead:')
    call('EXPIRE', key, ttl)
  end
  return 1
end

-- KEYS the progress of posts. Returns one character per post: 1 if it was delivered without chunks, and is not in the dead
-- letters; else 0.
local function delivered_before(keys)
  local flags = {}
  for i, key in ipairs(keys) do
    local known = redis.call('HMGET', key, 'plan', 'done:0', 'dead:')
    flags[i] = known[1] == '0,0' and known[2] and not known[3] and '1' or '0'
  end
  return table.concat(flags)
end

redis.register_function('push_@VERSION@', push)
redis.register_function('push_each_@VERSION@', push_each)
redis.register_function('withdraw_@VERSION@', withdraw)
redis.register_function('begin_@VERSION@', begin)
redis.register_function('merge_@VERSION@', merge)
redis.register_function('merge_unpushed_@VERSION@', merge_unpushed)
redis.register_function('extend_@VERSION@', extend)
redis.register_function('settle_@VERSION@', settle)
redis.register_function('snapshot_@VERSION@', snapshot)
redis.register_function('swap_@VERSION@', swap)
redis.register_function('delivered_@VERSION@', delivered)
redis.register_function('delivered_before_@VERSION@', delivered_before)
