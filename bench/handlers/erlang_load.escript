#!/usr/bin/env escript
%%! +sbwt none +sbwtdcpu none +sbwtdio none -kernel logger_level error
%% Processes of one node that each make one call after the other. Prints `ready` when the node that
%% is called answers; for each line `MILLISECONDS` of input it calls for so long, and prints a line
%% `MICROSECONDS:CALLS ...`, how often a call took how long. Each call carries a number, which its
%% answer must have.
-mode(compile).
-export([main/1]).

main([Node, Cookie, Processes]) ->
    Name = list_to_atom("load" ++ os:getpid() ++ "@127.0.0.1"),
    {ok, _} = net_kernel:start([Name, longnames]),
    true = erlang:set_cookie(node(), list_to_atom(Cookie)),
    Server = {katamari, list_to_atom(Node)},
    answers(Server, 500),
    io:format("ready~n"),
    serve(Server, list_to_integer(Processes)).

%% The node may take a while to be there.
answers(Server, Tries) ->
    try call(Server, 0)
    catch exit:_ when Tries > 0 -> timer:sleep(20), answers(Server, Tries - 1);
          error:_ when Tries > 0 -> timer:sleep(20), answers(Server, Tries - 1)
    end.

serve(Server, Processes) ->
    case io:get_line("") of
        eof -> ok;
        Line ->
            Length = list_to_integer(string:trim(Line)),
            io:format("~s~n", [load(Server, Processes, Length)]),
            serve(Server, Processes)
    end.

load(Server, Processes, Length) ->
    End = erlang:monotonic_time(microsecond) + Length * 1000,
    Loop = fun(First) -> fun() -> exit({times, loop(Server, First, Processes, End, #{})}) end end,
    Started = [spawn_monitor(Loop(First)) || First <- lists:seq(1, Processes)],
    All = lists:foldl(fun({Pid, Monitor}, Sum) ->
        receive
            {'DOWN', Monitor, process, Pid, {times, Times}} ->
                maps:fold(fun(Us, Calls, S) -> add(Us, Calls, S) end, Sum, Times);
            {'DOWN', Monitor, process, Pid, Reason} ->
                io:format("failed: ~p~n", [Reason]), halt(1)
        end
    end, #{}, Started),
    lists:join(" ", [io_lib:format("~b:~b", [Us, Calls]) || {Us, Calls} <- maps:to_list(All)]).

loop(Server, Number, Step, End, Times) ->
    Before = erlang:monotonic_time(microsecond),
    if
        Before >= End -> Times;
        true ->
            call(Server, Number),
            Us = erlang:monotonic_time(microsecond) - Before,
            loop(Server, Number + Step, Step, End, add(Us, 1, Times))
    end.

call(Server, Number) ->
    Value = <<(Number rem 100000000):64>>,
    Text = << <<($a + Nibble)>> || <<Nibble:4>> <= Value >>,
    {ok, Text} = gen_server:call(Server, {call, echo, echo, [Text]}).

add(Us, Calls, Times) ->
    maps:update_with(Us, fun(Before) -> Before + Calls end, Calls, Times).
