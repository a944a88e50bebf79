-- Takes or renews a lease. KEYS: the lease. ARGV: holder, until, now.
local found = redis.call('HMGET', KEYS[1], 'holder', 'until', 'term')
local holder, till, term = found[1] or '', tonumber(found[2] or '0') or 0, tonumber(found[3] or '0') or 0
if holder ~= ARGV[1] then
  if till > tonumber(ARGV[3]) then return {holder, found[2], found[3]} end
  holder, term = ARGV[1], term + 1
end
local text = string.format('%.0f', term)
redis.call('HSET', KEYS[1], 'holder', holder, 'until', ARGV[2], 'term', text)
return {holder, ARGV[2], text}
