#!/usr/bin/env escript
%%! +sbwt none +sbwtdcpu none +sbwtdio none -kernel logger_level error
%% A node of Erlang to compare with: its gen_server `katamari` takes the calls that Katamari's
%% faceplate takes, and answers with the argument.
-mode(compile).
-behaviour(gen_server).
-export([main/1, init/1, handle_call/3, handle_cast/2]).

main([Name, Cookie]) ->
    {ok, _} = net_kernel:start([list_to_atom(Name), longnames]),
    true = erlang:set_cookie(node(), list_to_atom(Cookie)),
    {ok, _} = gen_server:start({local, katamari}, ?MODULE, [], []),
    receive stop -> ok end.

init([]) -> {ok, none}.

handle_call({call, echo, echo, [Value]}, _, State) -> {reply, {ok, Value}, State}.

handle_cast(_, State) -> {noreply, State}.
