#!/usr/bin/env ruby
# A worker of 2008 in Ruby, as its chassis was, on Debian's ruby-bert. Arrays are lists here, and tuples
# are BERT's; both are in its answers.

require "bert"
require "json"

$stdout.sync = true
puts "a stray line on stdout"

TO_ME = IO.new(3, "rb")
FROM_ME = IO.new(4, "wb")
FROM_ME.sync = true

def listed(option)
  own = ARGV.take_while { |word| word != "--" }
  own.flat_map { |word| word.start_with?(option) ? word.delete_prefix(option).split(",") : [] }
end

API = [t[:argv, []], t[:bye, t[:value]], [:echo, [:value]], t[:fail, t[:message]], t[:lie, []],
       [:print, [:text]], t[:sum, [:a, :b, :true]], t[:wait, [:mark]]].freeze
CONFIG = t[["tags", *listed("--tags=")], t["roles", *listed("--roles=")], ["kind", "fake"],
           ["grammar", [1, 2, 3]], t["chassis", "ruby"]].freeze

# Leaves a file of that name where the test looks.
def note(name)
  File.write(File.join(ENV.fetch("MARKS"), name.to_s), "")
end

def plain(value)
  case value
  when :true then true
  when :false then false
  when :null then nil
  when String then value.dup.force_encoding("UTF-8")
  when Array
    case value[0]
    when :struct then value[1].to_h { |key, inner| [plain(key), plain(inner)] }
    when :array then value[1].map { |inner| plain(inner) }
    else value
    end
  else value
  end
end

def run(method, arguments)
  case method
  when :argv then ARGV
  when :echo, :bye then arguments[:value]
  when :sum then arguments[:a] + arguments[:b] + arguments[:true]
  when :fail then raise plain(arguments[:message])
  when :print then puts plain(arguments[:text])
  when :wait
    note(plain(arguments[:mark]))
    loop { sleep }
  else raise "there is no method #{method}"
  end
end

def result(form, value)
  form == :pure ? value : t[:raw, JSON.generate(value)]
end

def answer(message)
  case message
  when :ping
    note(:ping)
    :pong
  when :quit
    note(:quit)
    exit
  when :api then t[:result, API]
  when :config then t[:result, CONFIG]
  else
    _, (method, form, *named) = message
    arguments = named.to_h { |key, value| [key, form == :json ? plain(value) : value] }
    if method == :lie
      t[:result, t[:raw, "no JSON"]]
    else
      t[method == :bye ? :last_result : :result, result(form, run(method, arguments))]
    end
  end
rescue StandardError => e
  t[:error, "#{e.message}\n\n#{e.backtrace.join("\n")}"]
end

while (prefix = TO_ME.read(4))
  said = answer(BERT.decode(TO_ME.read(prefix.unpack1("N"))))
  bytes = BERT.encode(said)
  FROM_ME.write([bytes.bytesize].pack("N"), bytes)
  exit if said.is_a?(Array) && said[0] == :last_result
end
