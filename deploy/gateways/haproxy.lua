-- Calls the resolver for a request of a user: the action `lua.resolve` of haproxy.cfg.

local uid_header = "x-user-id" -- or cookie, if the resolver's --uid-from names one
local token = nil

-- Reads the gateway's own token, which the kubelet replaces.
local token_file = os.getenv("STATEFULROUTE_TOKEN")
local function read_token()
  local file = io.open(token_file, "r")
  if file then
    token = file:read("l")
    file:close()
  end
end

if token_file then
  read_token()
  core.register_task(function()
    while true do
      core.sleep(10)
      read_token()
    end
  end)
end

-- Sets txn.endpoint and its address, txn.pod, or responds to the user. Of the user's headers, it sends only the uid to the resolver.
core.register_action("resolve", { "http-req" }, function(txn, path)
  local headers = {
    [uid_header] = txn.http:req_get_headers()[uid_header],
    ["x-original-uri"] = { txn.f:pathq() },
  }
  if token then
    headers["authorization"] = { "Bearer " .. token }
  end
  local response = core.httpclient():get({
    url = "http://resolver" .. path,
    dst = "abns@resolver",
    headers = headers,
    timeout = 5000, -- the section `resolver` of haproxy.cfg has the time limit: this is longer
  })
  local endpoint = response.headers and response.headers["x-gateway-destination-endpoint"]
  if response.status == 200 and endpoint then
    txn:set_var("txn.endpoint", endpoint[0])
    txn:set_var("txn.pod", endpoint[0]:match("^%[?(.-)%]?:%d+$"))
    return
  end
  local reply = txn:reply({ status = 503 })
  if response.status == 400 or response.status == 404 or response.status == 429 or response.status == 503 then
    reply:set_status(response.status)
    reply:set_body(response.body or "")
    for _, name in ipairs({ "content-type", "retry-after" }) do
      local value = response.headers and response.headers[name]
      if value then
        reply:add_header(name, value[0])
      end
    end
  end
  txn:done(reply)
end, 1)
