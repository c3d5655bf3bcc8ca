#!/usr/bin/env escript
%%! +S 1 +A 1 -noinput
%% A worker of 2008 in Erlang, by nothing but OTP: descriptors 3 and 4 are a port. It writes new tags
%% and, in its answers to `api` and `config`, mixes lists and tuples.

main(Arguments) ->
    Port = open_port({fd, 3, 4}, [binary, {packet, 4}]),
    io:format("a stray line on stdout~n"),
    loop(Port, Arguments).

loop(Port, Arguments) ->
    receive
        {Port, {data, Bytes}} ->
            Answer = answer(binary_to_term(Bytes), Arguments),
            say(Port, Answer),
            case Answer of
                {last_result, _} -> halt(0);
                _ -> loop(Port, Arguments)
            end
    end.

say(Port, Answer) -> port_command(Port, term_to_binary(Answer)).

answer(ping, _) -> note(ping), pong;
answer(quit, _) -> note(quit), halt(0);
answer(api, _) ->
    {result, [{argv, {}}, {bye, [value]}, [echo, {value}], {fail, [message]}, {lie, {}},
              {print, [text]}, {sum, {a, b, true}}, {wait, [mark]}]};
answer(config, Arguments) ->
    {result, [{<<"kind">>, <<"fake">>}, list_to_tuple([<<"tags">> | listed("--tags=", Arguments)]),
              [<<"roles">> | listed("--roles=", Arguments)], {<<"grammar">>, [1, 2, 3]},
              {<<"chassis">>, "erlang-25.0"}]};
answer({call, [lie, json]}, _) -> {result, {raw, <<"no JSON">>}};
answer({call, [Method, Form | Named]}, Arguments) ->
    try run(Method, Form, maps:from_list(Named), Arguments) of
        {last, Value} -> {last_result, result(Form, Value)};
        Value -> {result, result(Form, Value)}
    catch
        _:Reason:Stack ->
            {error, unicode:characters_to_binary(io_lib:format("~ts~n~n~p", [Reason, Stack]))}
    end.

result(json, Value) -> {raw, unicode:characters_to_binary(json(Value))};
result(pure, Value) -> Value.

run(argv, _, _, Arguments) -> {array, [list_to_binary(Word) || Word <- Arguments]};
run(echo, _, #{value := Value}, _) -> Value;
run(sum, _, #{a := A, b := B, true := C}, _) -> A + B + C;
run(fail, _, #{message := Message}, _) -> erlang:error(Message);
run(bye, _, #{value := Value}, _) -> {last, Value};
run(print, _, #{text := Text}, _) -> io:format("~ts~n", [Text]), null;
run(wait, _, #{mark := Mark}, _) ->
    note(Mark),
    receive never -> ok end;
run(_, _, _, _) -> erlang:error(<<"there is no such method">>).

%% Leaves a file of that name where the test looks.
note(Name) when is_atom(Name) -> note(atom_to_binary(Name));
note(Name) -> file:write_file(filename:join(os:getenv("MARKS"), Name), "").

listed(Option, Arguments) ->
    {Own, _} = lists:splitwith(fun(Word) -> Word =/= "--" end, Arguments),
    [list_to_binary(Name) || Word <- Own, lists:prefix(Option, Word),
                             Name <- string:split(lists:nthtail(length(Option), Word), ",", all)].

json({struct, Pairs}) ->
    [${, lists:join($,, [[json(Key), $:, json(Value)] || {Key, Value} <- Pairs]), $}];
json({array, Values}) -> [$[, lists:join($,, [json(Value) || Value <- Values]), $]];
json(Word) when Word =:= true; Word =:= false; Word =:= null -> atom_to_binary(Word);
json(Number) when is_integer(Number) -> integer_to_binary(Number);
json(Number) when is_float(Number) -> float_to_binary(Number, [short]);
json(Text) when is_binary(Text) ->
    [$", [escaped(Character) || Character <- unicode:characters_to_list(Text)], $"].

escaped($") -> "\\\"";
escaped($\\) -> "\\\\";
escaped(Control) when Control < 32 -> io_lib:format("\\u~4.16.0b", [Control]);
escaped(Other) -> Other.
