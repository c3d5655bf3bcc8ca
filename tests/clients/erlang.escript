#!/usr/bin/env escript
%%! -kernel logger_level error
%% Calls a Katamari node as processes of Erlang do: what erlang.py starts, with
%% the node's name, the cookie and the case to try. Prints `ok CASE`, or why not.

main([Name, Cookie, Case]) ->
    Node = list_to_atom(Name),
    Me = list_to_atom("client" ++ os:getpid() ++ "@127.0.0.1"),
    {ok, _} = net_kernel:start([Me, longnames]),
    true = erlang:set_cookie(node(), list_to_atom(Cookie)),
    ok = ping(list_to_atom(Case), Node),
    Result = try try_case(list_to_atom(Case), Node) catch Class:Reason:Stack -> {Class, Reason, Stack} end,
    case Result of
        ok -> io:format("ok ~s~n", [Case]);
        _ -> io:format("failed ~s: ~p~n", [Case, Result]), halt(1)
    end.

%% What is there is found through epmd.
ping(wrong_cookie, _) -> ok;
ping(_, Node) ->
    pong = net_adm:ping(Node),
    ok.

call(Node, Function, Args) ->
    gen_server:call({katamari, Node}, {call, conformance, Function, Args}).

call(Node, Function, Args, Options) ->
    gen_server:call({katamari, Node}, {call, conformance, Function, Args, Options}, 20000).

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
    {ok, 3} = gen_server:call({katamari, Node}, {call, <<"conformance">>, add, [1, 2]}),
    Details = [{kind, conformance}, {chassis, python}, {tags, [conformance]}],
    {ok, 3} = gen_server:call({katamari, Node}, {call, Details, add, [1, 2]}),
    {ok, 3} = gen_server:call({katamari, Node}, {call, maps:from_list(Details), add, [1, 2]}),
    Value = #{<<"list">> => [1, -2.5, 1 bsl 80, null, true, <<"text">>], <<"map">> => #{}},
    {ok, Value} = call(Node, echo, [Value]),
    {ok, <<"atom">>} = call(Node, echo, [{value, atom}]),
    {ok, [1, 2, 3]} = call(Node, count, [3, 0]),
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
    {error, {bad_arguments, _}} = call(Node, echo, [self()]),
    {error, {bad_request, _}} = gen_server:call({katamari, Node}, hello),
    {error, {not_allowed, _}} = gen_server:call({katamari, Node}, {call, secret, add, [1, 2]}),
    ok;
try_case(rpc, Node) ->
    7 = rpc:call(Node, conformance, add, [3, 4]),
    %% By position, even if they look like names.
    #{<<"a">> := 1} = rpc:call(Node, conformance, echo, [[{a, 1}]]),
    {badrpc, {'EXIT', {worker_error, <<"oh", _/binary>>}}} =
        rpc:call(Node, conformance, fail, [<<"oh">>]),
    {badrpc, {'EXIT', {no_pool, _}}} = rpc:call(Node, nobody, add, []),
    {badrpc, {'EXIT', {not_allowed, _}}} = rpc:call(Node, secret, add, []),
    {badrpc, timeout} = rpc:call(Node, conformance, sleep, [60000], 300),
    {[7], []} = rpc:multicall([Node], conformance, add, [3, 4]),
    Key = rpc:async_call(Node, conformance, add, [1, 1]),
    2 = rpc:yield(Key),
    true = rpc:cast(Node, conformance, add, [1, 1]),
    ok;
try_case(rex, Node) ->
    7 = rpc:block_call(Node, conformance, add, [3, 4]),
    {badrpc, {'EXIT', {no_pool, _}}} = rpc:block_call(Node, nobody, add, []),
    ok;
try_case(erpc, Node) ->
    7 = erpc:call(Node, conformance, add, [3, 4]),
    {'EXIT', {exception, {no_function, _}}} = (catch erpc:call(Node, conformance, nothing, [])),
    %% Of two slots both would be taken, if those that gave up were not cancelled.
    Give = fun(_) ->
        {'EXIT', {{erpc, timeout}, _}} = (catch erpc:call(Node, conformance, sleep, [60000], 200))
    end,
    lists:foreach(Give, lists:seq(1, 4)),
    [{ok, 7}, {ok, 7}] = erpc:multicall([Node, Node], conformance, add, [3, 4], 15000),
    ok = erpc:cast(Node, conformance, add, [1, 2]),
    Binary = binary:copy(<<"0123456789abcdef">>, 65536),
    Binary = erpc:call(Node, conformance, echo, [Binary]),
    %% Other functions there are none.
    Request = spawn_request(Node, erlang, display, [hello], [monitor]),
    receive {spawn_reply, Request, error, notsup} -> ok end,
    ok;
try_case(deadline, Node) ->
    {error, {deadline, _}} = call(Node, sleep, [60000], [{timeout, 200}]),
    %% Of two slots both would be taken, if those that gave up were not cancelled.
    Call = {call, conformance, sleep, [60000]},
    Give = fun(_) -> {'EXIT', {timeout, _}} = (catch gen_server:call({katamari, Node}, Call, 200)) end,
    lists:foreach(Give, lists:seq(1, 4)),
    {ok, 3} = call(Node, add, [1, 2], [{timeout, 15000}]),
    [] = flush(),
    ok;
try_case(dead_caller, Node) ->
    Call = {call, conformance, sleep, [60000]},
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
    ok = gen_server:cast({katamari, Node}, {cast, conformance, add, [1, 2]}),
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
    {ok, Binary} = call(Node, echo, [Binary]),
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
