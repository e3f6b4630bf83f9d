#!lua name=feedmill_recent_@VERSION@

local LEASE = ':lease'
local POSTED, POSTED_S = ':posted', 15 -- the last new id; Cassandra may show an interrupted batch some seconds later

local function has(value, id)
  return string.find(value, ',' .. id .. ',', 1, true)
end

-- KEYS values; ARGV seconds to live, the token of the leases, a new value for each key. If the lease still has the token,
-- it ends, and the value is stored unless it lacks the last new id.
local function fill(keys, args)
  for i, key in ipairs(keys) do
    if redis.call('GET', key .. LEASE) == args[2] then
      local value, posted = args[i + 2], redis.call('GET', key .. POSTED)
      if not posted or has(value, posted) then redis.call('SET', key, value, 'EX', args[1]) end
      redis.call('DEL', key .. LEASE)
    end
  end
end

-- KEYS values; ARGV a new id for each. A value is deleted unless it has the id. Its lease ends in any case.
local function forget(keys, args)
  for i, key in ipairs(keys) do
    local value = redis.call('GET', key)
    if value and not has(value, args[i]) then redis.call('DEL', key) end
    redis.call('DEL', key .. LEASE)
    redis.call('SET', key .. POSTED, args[i], 'EX', POSTED_S)
  end
end

redis.register_function('fill_@VERSION@', fill)
redis.register_function('forget_@VERSION@', forget)
