# frozen_string_literal: true

# Serves a Rack application as a worker: HTTP requests as calls.
#
#     katamari-rack [config.ru] [--kind NAME] [--slots NUMBER] [--root PATH]
#
# A request is one payload, a response one or more: the length of the head as a u32, the head as
# JSON, the body. The pieces of a response after the first are all body, and so is the call's input.

require_relative "../katamari"
require "json"
require "uri"
require "rack"
require "rack/rewindable_input"

module Katamari
  # See the top of this file.
  module RackWorker
    CONTENT_TYPE = "application/vnd.katamari.http"

    # Bytes of a body that go out in one piece.
    PIECE_MAX = 256 * 1024

    # Bytes that say how long a head is.
    LENGTH_SIZE = 4

    module_function

    # A worker whose function `http` is the application.
    def worker(app, kind, slots: 1, root: "")
      Worker.new do
        kind kind
        slots slots
        handle "http", doc: "Answers an HTTP request.", stream: true, input: true,
                       parameters: { request: :bytes }, result: :bytes do |request:, &emit|
          RackWorker.answer(app, RackWorker.env(request, input, root, slots > 1), &emit)
        end
      end
    end

    # The environment of a packed request, whose body goes on in the input. What stands before
    # `root` is the application's.
    def env(packed, input, root, multithread)
      head, body = unpack(packed)
      input.ungetbyte(body)
      path, _, query = head.fetch("target").partition("?")
      root = "" unless path == root || path.start_with?("#{root}/")
      env = {
        "REQUEST_METHOD" => head.fetch("method"), "SCRIPT_NAME" => root,
        "PATH_INFO" => path.delete_prefix(root), "QUERY_STRING" => query,
        "SERVER_PROTOCOL" => "HTTP/1.1", "HTTP_VERSION" => "HTTP/1.1",
        "REMOTE_ADDR" => head["remote"] || "",
        "rack.url_scheme" => head["scheme"] || "http", "rack.version" => [1, 3],
        "rack.input" => rewindable(input), "rack.errors" => $stderr,
        "rack.multithread" => multithread, "rack.multiprocess" => true, "rack.run_once" => false
      }
      add_headers(env, head["headers"] || [])
      # What the client announced holds for a body that is not here yet.
      env["CONTENT_LENGTH"] = body.bytesize.to_s unless body.empty?
      add_server(env)
    end

    # What Rack 2 wants to read twice is written to a file as it is read.
    def rewindable(input)
      Rack::RELEASE < "3" ? Rack::RewindableInput.new(input) : input
    end

    # Runs the application on a request; yields the pieces of its response. Returns a short one
    # instead, which so goes out in one frame, when the application is through with it.
    def answer(app, env)
      input = env["rack.input"] # the application may put its own in its place
      status, headers, body = app.call(env)
      head = JSON.generate(status: status.to_i, headers: pairs(headers))
      first = [head.bytesize].pack("N") << head.b
      length = announced(headers)
      whole = nil
      chunks(body, env["REQUEST_METHOD"] == "HEAD") do |chunk|
        break if whole # what comes is beyond the Content-Length

        payload = Payload.new((first || "".b) << chunk, CONTENT_TYPE)
        first && chunk.bytesize == length ? whole = payload : yield(payload)
        first = nil
      end
      whole || (first && Payload.new(first, CONTENT_TYPE))
    ensure
      body.close if body.respond_to?(:close)
      input.close if input.respond_to?(:close)
    end

    # The Content-Length; nil if the application has not said.
    def announced(headers)
      _, length = headers.find { |name, _| name.casecmp?("content-length") }
      length&.to_i
    end

    def unpack(packed)
      length = packed.unpack1("N")
      if length.nil? || LENGTH_SIZE + length > packed.bytesize
        raise ArgumentError, "expected a request as #{CONTENT_TYPE}, got #{packed.bytesize} bytes"
      end

      head = JSON.parse(packed.byteslice(LENGTH_SIZE, length).force_encoding(Encoding::UTF_8))
      body = packed.byteslice(LENGTH_SIZE + length, packed.bytesize).b
      raise ArgumentError, "expected an object as the head, got #{head}" unless head.is_a?(Hash)

      [head, body]
    end

    # A character of a value is a byte.
    def add_headers(env, headers)
      headers.each do |name, value|
        value = value.encode(Encoding::ISO_8859_1).b
        key = name.upcase.tr("-", "_")
        case key
        when "CONTENT_TYPE", "CONTENT_LENGTH" then env[key] = value
        else
          # With an underscore it would pass for another one.
          next if name.include?("_")

          joint = key == "COOKIE" ? "; " : ", "
          env["HTTP_#{key}"] = [env["HTTP_#{key}"], value].compact.join(joint)
        end
      end
    end

    def add_server(env)
      secure = env["rack.url_scheme"] == "https"
      host, port = env.fetch("HTTP_HOST", "localhost").match(/\A(.*?)(?::(\d+))?\z/).captures
      env["SERVER_NAME"] = host
      env["SERVER_PORT"] = port || (secure ? "443" : "80")
      env
    end

    # Names and values; of several values of one name, a pair for each.
    def pairs(headers)
      headers.flat_map do |name, values|
        next [] if name.start_with?("rack.")

        values = values.is_a?(Array) ? values : values.to_s.split("\n")
        values.map { |value| [name, value.b.encode(Encoding::UTF_8, Encoding::ISO_8859_1)] }
      end
    end

    def chunks(body, bodiless)
      body.each do |chunk|
        next if bodiless || chunk.empty?

        chunk = chunk.b
        (0...chunk.bytesize).step(PIECE_MAX) { |at| yield chunk.byteslice(at, PIECE_MAX) }
      end
    end
  end
end
