#!lua name=feedmill_@VERSION@

-- A list holds ids as decimal strings, oldest left. Its head tells how complete it is:
-- '0' nothing older was ever cut off, '1' it is being built, an id: older ones were cut off.

local COMPLETE, BUILDING = '0', '1'
local LATE, LATE_S = ':late', 180 -- counts what came in below the youngest entry: the tail alone does not show it

-- Ids outgrow the doubles of Lua, so they are compared as text.
local function before(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end

-- The number of entries of `list` that are not younger than `id`.
local function rank(list, id)
  local low, high = 0, #list
  while low < high do
    local middle = math.floor((low + high + 1) / 2)
    if before(id, list[middle]) then high = middle - 1 else low = middle end
  end
  return low
end

local function insert(key, id)
  local list = redis.call('LRANGE', key, 0, -1)
  local position = rank(list, id)
  if position == 0 or list[position] == id then return 0 end -- below the cut: others are missing there, too
  redis.call('LINSERT', key, 'AFTER', list[position], id)
  redis.call('INCR', key .. LATE)
  redis.call('EXPIRE', key .. LATE, LATE_S)
  return 1
end

-- KEYS feeds; ARGV cap, slack, ids in ascending order. Feeds that do not exist are left alone.
local function push(keys, args)
  local cap, limit, written = tonumber(args[1]), tonumber(args[1]) + tonumber(args[2]), 0
  for _, key in ipairs(keys) do
    local tail = redis.call('LINDEX', key, -1)
    if tail then
      local length = 0
      for i = 3, #args do
        local id = args[i]
        if before(tail, id) then
          length = redis.call('RPUSH', key, id)
          tail, written = id, written + 1
        elseif tail ~= id then
          written = written + insert(key, id)
        end
      end
      if length > limit then redis.call('LTRIM', key, -cap, -1) end
    end
  end
  return written
end

-- KEYS feed; ARGV ttl in seconds. Make an absent list, so that pushes land while it is being filled.
local function begin(keys, args)
  if redis.call('EXISTS', keys[1]) == 0 then redis.call('RPUSH', keys[1], BUILDING) end
  redis.call('EXPIRE', keys[1], args[1])
  return 1
end

-- KEYS feed; ARGV cap, ttl, whether the building ends ('1'), ids in ascending order.
-- The union of list and ids, the youngest `cap` of it. 0 when the list is gone.
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

redis.register_function('push_@VERSION@', push)
redis.register_function('begin_@VERSION@', begin)
redis.register_function('merge_@VERSION@', merge)
