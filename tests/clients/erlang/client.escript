#!/usr/bin/env escript
%%! -kernel logger_level error
%% Calls a Katamari node as processes of Erlang do: what erlang_client.py starts. One call by
%% gen_server, rpc or erpc, or cases by their names. The cookie is in the environment.
%%
%%     client.escript WAY NODE "" AUTHORITY KIND FUNCTION ARGUMENTS TIMEOUT
%%     client.escript WAY more NODE CASE...
-mode(compile).

main([_, "more", Name | Cases]) ->
    lists:foreach(fun(Case) -> more(list_to_atom(Case), list_to_atom(Name)) end, Cases);
main([Way, Name, "", _Authority, Kind, Function, Text, Timeout]) ->
    Node = list_to_atom(Name),
    ok = start(os:getenv("COOKIE")),
    ok = ping(one, Node),
    {ok, Tokens, _} = erl_scan:string(Text ++ "."),
    {ok, Arguments} = erl_parse:parse_term(Tokens),
    Call = {list_to_atom(Kind), list_to_atom(Function), Arguments, Timeout},
    ok = io:setopts([{encoding, latin1}]),
    case one(list_to_atom(Way), Node, Call) of
        {ok, Result} -> io:format("{\"result\": ~s}~n", [json(Result)]);
        {error, {Code, _}} -> io:format("{\"error\": \"~s\"}~n", [Code])
    end.

one(gen_server, Node, {Kind, Function, Arguments, Timeout}) ->
    Options = [{timeout, list_to_integer(Timeout)} || Timeout =/= "null"],
    gen_server:call({katamari, Node}, {call, Kind, Function, Arguments, Options}, infinity);
one(rpc, Node, {Kind, Function, Arguments, _}) ->
    case rpc:call(Node, Kind, Function, [Value || {_, Value} <- Arguments]) of
        {badrpc, {'EXIT', Error}} -> {error, Error};
        Result -> {ok, Result}
    end;
one(erpc, Node, {Kind, Function, Arguments, _}) ->
    try {ok, erpc:call(Node, Kind, Function, [Value || {_, Value} <- Arguments])}
    catch exit:{exception, Error} -> {error, Error}
    end.

json(Number) when is_integer(Number) -> integer_to_list(Number);
json(Text) when is_binary(Text) -> [$", Text, $"];
json(List) when is_list(List) -> [$[, lists:join($,, [json(Each) || Each <- List]), $]].

start(Cookie) ->
    Me = list_to_atom("client" ++ os:getpid() ++ "@127.0.0.1"),
    {ok, _} = net_kernel:start([Me, longnames]),
    true = erlang:set_cookie(node(), list_to_atom(Cookie)),
    ok.

more(Case, Node) ->
    Cookie = case Case of
        wrong_cookie -> "another";
        _ -> os:getenv("COOKIE")
    end,
    ok = start(Cookie),
    ok = ping(Case, Node),
    ok = try_case(Case, Node),
    ok = net_kernel:stop().

%% What is there is found through epmd.
ping(wrong_cookie, _) -> ok;
ping(_, Node) ->
    pong = net_adm:ping(Node),
    ok.

call(Node, Function, Args) ->
    gen_server:call({katamari, Node}, {call, conform, Function, Args}).

call(Node, Function, Args, Options) ->
    gen_server:call({katamari, Node}, {call, conform, Function, Args, Options}, 20000).

try_case(ping, Node) ->
    %% A hidden node, and of no more concern to others than that.
    [] = nodes(),
    [Node] = nodes(hidden),
    ok;
try_case(wrong_cookie, Node) ->
    pang = net_adm:ping(Node),
    [] = nodes(hidden),
    ok;
try_case(call, Node) ->
    {ok, 5} = call(Node, add, [2, 3]),
    {ok, 6} = call(Node, add, [{a, 1}, {b, 2}, {c, 3}]),
    {ok, 3} = call(Node, <<"add">>, #{a => 1, <<"b">> => 2}),
    {ok, 3} = gen_server:call({katamari, Node}, {call, <<"conform">>, add, [1, 2]}),
    Details = [{kind, conform}, {tags, [a]}],
    {ok, 3} = gen_server:call({katamari, Node}, {call, Details, add, [1, 2]}),
    {ok, 3} = gen_server:call({katamari, Node}, {call, maps:from_list(Details), add, [1, 2]}),
    Value = #{<<"list">> => [1, -2.5, 1 bsl 80, null, true, <<"text">>], <<"map">> => #{}},
    {ok, Value} = call(Node, same, [Value]),
    {ok, <<"atom">>} = call(Node, same, [{value, atom}]),
    {ok, [1, 2, 3]} = call(Node, count, [3]),
    ok;
try_case(options, Node) ->
    {ok, Left} = call(Node, remaining, [], [{timeout, 1500}]),
    true = is_integer(Left) andalso Left > 0 andalso Left =< 1500,
    Options = #{class => low, key => <<"ada">>, idempotent => true, timeout => 9000},
    {ok, 3} = call(Node, add, [1, 2], Options),
    {error, {bad_request, _}} = call(Node, add, [1, 2], [{timeot, 1}]),
    ok;
try_case(error, Node) ->
    {error, {worker_error, <<"no such luck", _/binary>>}} = call(Node, fail, [<<"no such luck">>]),
    {error, {no_function, _}} = call(Node, nothing, []),
    {error, {no_pool, _}} = gen_server:call({katamari, Node}, {call, nobody, add, []}),
    {error, {bad_arguments, _}} = call(Node, add, [{nonsense, 1}]),
    {error, {bad_arguments, _}} = call(Node, same, [self()]),
    {error, {bad_request, _}} = gen_server:call({katamari, Node}, hello),
    ok;
try_case(rpc, Node) ->
    7 = rpc:call(Node, conform, add, [3, 4]),
    %% By position, even if they look like names.
    #{<<"a">> := 1} = rpc:call(Node, conform, same, [[{a, 1}]]),
    {badrpc, {'EXIT', {worker_error, <<"oh", _/binary>>}}} =
        rpc:call(Node, conform, fail, [<<"oh">>]),
    {badrpc, {'EXIT', {no_pool, _}}} = rpc:call(Node, nobody, add, []),
    {badrpc, timeout} = rpc:call(Node, conform, sleep, [60000], 300),
    {[7], []} = rpc:multicall([Node], conform, add, [3, 4]),
    Key = rpc:async_call(Node, conform, add, [1, 1]),
    2 = rpc:yield(Key),
    true = rpc:cast(Node, conform, add, [1, 1]),
    ok;
try_case(rex, Node) ->
    7 = rpc:block_call(Node, conform, add, [3, 4]),
    {badrpc, {'EXIT', {no_pool, _}}} = rpc:block_call(Node, nobody, add, []),
    ok;
try_case(erpc, Node) ->
    7 = erpc:call(Node, conform, add, [3, 4]),
    {'EXIT', {exception, {no_function, _}}} = (catch erpc:call(Node, conform, nothing, [])),
    %% Of two slots both would be taken, if those that gave up were not cancelled.
    Give = fun(_) ->
        {'EXIT', {{erpc, timeout}, _}} = (catch erpc:call(Node, conform, sleep, [60000], 200))
    end,
    lists:foreach(Give, lists:seq(1, 4)),
    [{ok, 7}, {ok, 7}] = erpc:multicall([Node, Node], conform, add, [3, 4], 15000),
    ok = erpc:cast(Node, conform, add, [1, 2]),
    Binary = binary:copy(<<"0123456789abcdef">>, 65536),
    Binary = erpc:call(Node, conform, same, [Binary]),
    %% Other functions there are none.
    Request = spawn_request(Node, erlang, display, [hello], [monitor]),
    receive {spawn_reply, Request, error, notsup} -> ok end,
    ok;
try_case(deadline, Node) ->
    {error, {deadline, _}} = call(Node, sleep, [60000], [{timeout, 200}]),
    %% Of two slots both would be taken, if those that gave up were not cancelled.
    Call = {call, conform, sleep, [60000]},
    Give = fun(_) -> {'EXIT', {timeout, _}} = (catch gen_server:call({katamari, Node}, Call, 200)) end,
    lists:foreach(Give, lists:seq(1, 4)),
    {ok, 3} = call(Node, add, [1, 2], [{timeout, 15000}]),
    [] = flush(),
    ok;
try_case(dead_caller, Node) ->
    Call = {call, conform, sleep, [60000]},
    Self = self(),
    Wait = fun() ->
        _ = gen_server:send_request({katamari, Node}, Call),
        Self ! asked,
        receive never -> ok end
    end,
    Pids = [spawn(Wait) || _ <- lists:seq(1, 4)],
    [receive asked -> ok end || _ <- Pids],
    lists:foreach(fun(Pid) -> exit(Pid, kill) end, Pids),
    {ok, 3} = call(Node, add, [1, 2], [{timeout, 15000}]),
    ok;
try_case(cast, Node) ->
    ok = gen_server:cast({katamari, Node}, {cast, conform, add, [1, 2]}),
    ok = gen_server:cast({katamari, Node}, nonsense),
    {katamari, Node} ! nonsense,
    {nobody, Node} ! nonsense,
    {ok, 3} = call(Node, add, [1, 2]),
    ok;
try_case(callers, Node) ->
    Self = self(),
    Work = fun(N) -> Self ! {N, call(Node, add, [N, N], [{timeout, 15000}])} end,
    lists:foreach(fun(N) -> spawn_link(fun() -> Work(N) end) end, lists:seq(1, 100)),
    Sum = lists:sum([receive {N, {ok, M}} when M =:= 2 * N -> M end || N <- lists:seq(1, 100)]),
    10100 = Sum,
    ok;
try_case(large, Node) ->
    Binary = binary:copy(<<"0123456789abcdef">>, 65536),
    {ok, Binary} = call(Node, same, [Binary]),
    ok;
try_case(names, Node) ->
    Ref = erlang:monitor(process, {nobody, Node}),
    receive {'DOWN', Ref, process, {nobody, Node}, noproc} -> ok end,
    {'EXIT', {noproc, _}} = (catch gen_server:call({nobody, Node}, hello)),
    Living = erlang:monitor(process, {katamari, Node}),
    {ok, 3} = call(Node, add, [1, 2]),
    true = erlang:demonitor(Living, [flush, info]),
    ok;
try_case(killed, Node) ->
    Ref = erlang:monitor(process, {katamari, Node}),
    true = erlang:monitor_node(Node, true),
    {ok, 3} = call(Node, add, [1, 2]),
    io:format("watching~n"),
    receive {'DOWN', Ref, process, {katamari, Node}, noconnection} -> ok end,
    receive {nodedown, Node} -> ok end,
    ok.

flush() ->
    receive Message -> [Message | flush()] after 0 -> [] end.
