#!/usr/bin/env escript
%%! -kernel logger_level error
%% Calls a worker of 2008 through a node with terms that JSON has nothing for, over BERT-RPC and as a
%% node of Erlang: what run.py starts. The cookie is in the environment.
%%
%%     client.escript BERT_HOST BERT_PORT NODE
-mode(compile).

main([Host, Port, Name]) ->
    {ok, Socket} = gen_tcp:connect(Host, list_to_integer(Port),
                                   [binary, {packet, 4}, {active, false}]),
    bert(fun(Function, Arguments) ->
        say(Socket, {info, katamari, [{details, [{roles, [<<"x">>]}]}]}),
        say(Socket, {call, fake, Function, Arguments}),
        {ok, Answer} = gen_tcp:recv(Socket, 0),
        binary_to_term(Answer)
    end),
    Me = list_to_atom("client" ++ os:getpid() ++ "@127.0.0.1"),
    {ok, _} = net_kernel:start([Me, longnames]),
    true = erlang:set_cookie(node(), list_to_atom(os:getenv("COOKIE"))),
    Server = {katamari, list_to_atom(Name)},
    Details = [{kind, fake}, {roles, [x]}],
    erlang(fun(Function, Arguments) ->
        gen_server:call(Server, {call, Details, Function, Arguments}, infinity)
    end).

say(Socket, Term) -> ok = gen_tcp:send(Socket, term_to_binary(Term)).

value() -> {ok, [1, 2.5, {<<255>>, 1 bsl 70}], undefined, [{a, b}, {a, c}], {bert, nil}}.

bert(Call) ->
    Value = value(),
    {reply, Value} = Call(echo, [Value]),
    {reply, Value} = Call(echo, {bert, dict, [{value, Value}]}),
    %% By position, though it looks like a name.
    {reply, {value, 1}} = Call(echo, [{value, 1}]),
    {reply, 6} = Call(sum, [1, 2, 3]),
    {error, {user, 0, _, <<"on purpose">>, [_ | _]}} = Call(fail, [<<"on purpose">>]),
    {error, {_, _, <<"bad_arguments">>, <<"expected echo(value); missing: value">>, _}} =
        Call(echo, []).

erlang(Call) ->
    Value = value(),
    {ok, Value} = Call(echo, [Value]),
    {ok, Value} = Call(echo, [{value, Value}]),
    {ok, Value} = Call(echo, #{value => Value}),
    {ok, 6} = Call(sum, [{true, 3}, {b, 2}, {a, 1}]),
    {error, {worker_error, <<"on purpose">>}} = Call(fail, [<<"on purpose">>]),
    {error, {bad_arguments, <<"expected echo(value); missing: value; unknown: nonsense">>}} =
        Call(echo, [{nonsense, 1}]),
    %% Workers of 2008 have no word for it.
    {error, {bad_arguments, _}} = Call(echo, [self()]).
