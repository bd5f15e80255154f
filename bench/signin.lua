-- wrk: sign-ins of one account. Arguments: its address and its password.
local body

function init(args) body = string.format('{"email":"%s","password":"%s"}', args[1], args[2]) end

function request() return wrk.format("POST", "/users/login", { ["Content-Type"] = "application/json" }, body) end
