-- Written by procman. Called for requests without a dyno only; the others never come here.
local hosts = Map.new("hosts.map", Map._str)
local apps = Map.new("apps.map", Map._str)
local frames = Map.new("error-pages.map", Map._str)
local page = assert(io.open("error.html")):read("a")
local PATIENCE, GLANCE = 75000, 20 -- milliseconds
local CODES = { crashed = "H10", none = "H14", maintenance = "H80", blank = "H81" }

local function lookup_wildcard(host)
  if not host:match("^[a-z0-9_.-]+$") then return nil end
  for _ = 1, 5 do
    host = host:match("^[^.]+%.(.+)$")
    if not host then return nil end
    local app = hosts:lookup("*." .. host)
    if app then return app end
  end
end

-- Find out why there is no dyno; wait for one that starts.
core.register_action("procman_settle", { "http-req" }, function(txn)
  local app = txn:get_var("txn.app")
  if not app then
    app = lookup_wildcard(txn:get_var("txn.host") or "")
    if not app then
      txn:set_var("txn.code", "unknown")
      return
    end
    txn:set_var("txn.app", app)
  end
  local left = PATIENCE
  while true do
    local route = apps:lookup(app) or "none:"
    local state = route:match("^%a+")
    if state == "up" then
      txn:set_var("txn.route", route)
      return
    elseif state ~= "starting" then
      txn:set_var("txn.code", CODES[state] or "H99")
      return
    elseif left <= 0 then
      txn:set_var("txn.code", "H20")
      return
    end
    core.msleep(GLANCE)
    left = left - GLANCE
  end
end, 0)

-- All dynos of a slot refuse connections: wait until one is back, or until the app has no dyno in this slot.
core.register_action("procman_await", { "http-req" }, function(txn)
  local slot = txn.f:be_name()
  local app = txn:get_var("txn.app")
  local left = PATIENCE
  while txn.f:connslots(slot) == 0 do
    local state = (apps:lookup(app) or "none:"):match("^%a+")
    if state ~= "up" and state ~= "starting" then
      txn:set_var("txn.code", CODES[state] or "H99")
      return
    elseif left <= 0 then
      txn:set_var("txn.code", state == "up" and "H99" or "H20")
      return
    end
    core.msleep(GLANCE)
    left = left - GLANCE
  end
end, 0)

-- No byte of a response: the dyno has hung up, or time is up. HAProxy itself would hang up on the client without a
-- word, and without one in its log, if this is not the first request of the client's connection.
core.register_action("procman_unanswered", { "tcp-res" }, function(txn)
  if not txn.req:may_recv() then
    return -- the client has left
  elseif not txn.res:may_recv() then
    txn:set_var("txn.code", "H13")
  elseif txn:get_var("txn.upload") then
    return
  end
  local frame = frames:lookup(txn:get_var("txn.app")) or ""
  local body = page:gsub("%%%[(.-)%]", function(word)
    return word:find("framed") and (frame == "" and "" or "framed") or frame
  end)
  local reply = txn:reply({ status = 503, reason = "Service Unavailable", body = body })
  reply:add_header("content-type", "text/html; charset=utf-8")
  txn:done(reply)
end, 0)
