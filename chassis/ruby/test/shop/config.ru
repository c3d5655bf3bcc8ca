# frozen_string_literal: true

# A Rack application, watched by Rack's own checker.

# A body that tells when it is closed.
class Closing
  def initialize(pieces)
    @pieces = pieces
  end

  def each(&block)
    @pieces.each(&block)
  end

  def close
    puts "closed"
  end
end

use Rack::Lint
use Rack::Head
run(lambda do |env|
  type = { "Content-Type" => "text/plain" }
  case env["PATH_INFO"]
  when "/raise" then raise KeyError, "in the application"
  when "/nothing" then [204, {}, []]
  when "/long" then [200, type, Closing.new(["x" * 1000] * 1000)]
  when "/announced", "/parts", "/large"
    pieces = { "/announced" => ["hello"], "/parts" => %w[hel lo], "/large" => ["x" * 300_000] }
    pieces = pieces.fetch(env["PATH_INFO"])
    [200, type.merge("Content-Length" => pieces.sum(&:size).to_s), Closing.new(pieces)]
  else
    keys = %w[REQUEST_METHOD SCRIPT_NAME PATH_INFO QUERY_STRING SERVER_NAME HTTP_X_TWICE
              CONTENT_LENGTH]
    body = keys.map { |key| "#{key}=#{env[key]}\n" }.join.b << env["rack.input"].read
    [200, type.merge("Set-Cookie" => "a=1\nb=2"), [body]]
  end
end)
