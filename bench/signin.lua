-- wrk: sign-ins of `count` accounts in turn. Arguments: how many, and their password.
local bodies, turn = {}, 0

function init(args)
  for i = 0, tonumber(args[1]) - 1 do
    bodies[#bodies + 1] = string.format('{"email":"bench-%d@example.com","password":"%s"}', i, args[2])
  end
end

function request()
  turn = turn % #bodies + 1
  return wrk.format("POST", "/users/login", { ["Content-Type"] = "application/json" }, bodies[turn])
end
