#!/usr/bin/env escript
%%! -noinput
%% The Erlang that terms are tried on: see peer.rs, which starts it and talks to it over its standard
%% input and output, in frames of four bytes of length and a command letter.
-mode(compile).

main(_) ->
    Port = open_port({fd, 0, 1}, [{packet, 4}, binary, eof]),
    loop(Port, none).

loop(Port, Last) ->
    receive
        {Port, {data, <<Command, Rest/binary>>}} ->
            {Answer, Next} =
                try answer(Command, Rest, Last)
                catch Class:Reason ->
                    {[$!, io_lib:format("~p:~0p", [Class, Reason])], Last}
                end,
            port_command(Port, Answer),
            loop(Port, Next);
        {Port, eof} ->
            halt(0)
    end.

%% What a term is, as text.
answer($p, Bytes, Last) ->
    {[$=, unicode:characters_to_binary(io_lib:format("~0tp", [binary_to_term(Bytes)]))], Last};
%% The term that a text is.
answer($t, Text, Last) ->
    {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(<<Text/binary, ".">>)),
    {ok, Term} = erl_parse:parse_term(Tokens),
    {[$=, term_to_binary(Term)], Last};
%% The same term, written by Erlang.
answer($r, <<Options, Bytes/binary>>, Last) ->
    {[$=, term_to_binary(binary_to_term(Bytes), options(Options))], Last};
%% A random term, which is kept until the next.
answer($m, <<Options, Seed:32>>, _) ->
    rand:seed(exsss, Seed),
    Term = random(5),
    {[$=, term_to_binary(Term, options(Options))], {some, Term}};
%% Whether that is the term that is kept.
answer($c, Bytes, {some, Term} = Last) ->
    case binary_to_term(Bytes) of
        Term -> {"=same", Last};
        Other -> {[$=, io_lib:format("~0p, expected ~0p", [Other, Term])], Last}
    end.

options(0) -> [];
options(1) -> [{minor_version, 0}];
options(2) -> [{minor_version, 1}];
options(3) -> [{minor_version, 2}];
options(4) -> [compressed];
options(5) -> [{compressed, 9}, {minor_version, 1}];
options(6) -> [deterministic].

random(0) -> leaf(rand:uniform(14));
random(Depth) ->
    case rand:uniform(12) of
        1 -> list_to_tuple(some(Depth));
        2 -> some(Depth);
        3 -> some(Depth) ++ random(Depth - 1);
        4 -> maps:from_list([{random(Depth - 2), V} || V <- some(Depth)]);
        5 -> {struct, [{text(), V} || V <- some(Depth)]};
        6 -> [{text(), V} || V <- some(Depth)];
        7 -> {bert, dict, [{text(), V} || V <- some(Depth)]};
        8 -> free(random(Depth - 1), random(0));
        _ -> leaf(rand:uniform(14))
    end.

some(Depth) -> [random(max(0, Depth - 1)) || _ <- lists:seq(1, rand:uniform(5) - 1)].

free(A, B) -> fun(C) -> {A, B, C} end.

leaf(1) -> rand:uniform(512) - 256;
leaf(2) -> rand:uniform(1 bsl 33) - (1 bsl 32);
leaf(3) -> (rand:uniform(1 bsl 200) - (1 bsl 199)) bsl rand:uniform(3000);
leaf(4) -> (rand:uniform() - 0.5) * math:pow(10, rand:uniform(600) - 300);
leaf(5) -> lists:nth(rand:uniform(5), [ok, true, null, 'with blank', '']);
leaf(6) -> list_to_atom([rand:uniform(255) || _ <- lists:seq(1, rand:uniform(255))]);
leaf(7) -> list_to_atom([16#4e00 + rand:uniform(900) || _ <- lists:seq(1, rand:uniform(255))]);
leaf(8) -> text();
leaf(9) -> rand:bytes(rand:uniform(40));
leaf(10) -> Bits = rand:uniform(40), <<(rand:uniform(1 bsl Bits) - 1):Bits>>;
leaf(11) -> [rand:uniform(255) || _ <- lists:seq(1, rand:uniform(40))];
leaf(12) -> list_to_tuple(lists:duplicate(250 + rand:uniform(20), rand:uniform(9)));
leaf(13) -> lists:nth(rand:uniform(3), [self(), make_ref(), hd(erlang:ports())]);
leaf(14) -> lists:nth(rand:uniform(2), [fun erlang:abs/1, fun(X) -> X end]).

text() -> unicode:characters_to_binary([rand:uniform(1000) || _ <- lists:seq(1, rand:uniform(8))]).
