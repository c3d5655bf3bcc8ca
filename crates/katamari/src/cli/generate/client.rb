# frozen_string_literal: true

require "json"
require "net/http"
require "uri"

# A call that failed. `code` is one of Katamari's error codes, `id` the call's id, `problem` all that
# the node said.
class KatamariError < StandardError
  attr_reader :code, :id, :problem

  def initialize(code, message, problem = {})
    super("#{code}: #{message}")
    @code = code
    @id = problem["id"]
    @problem = problem
  end

  def self.of(body, status)
    problem = JSON.parse(body)
    new(problem.fetch("code"), problem.fetch("detail"), problem)
  rescue JSON::ParserError, KeyError, TypeError
    new("protocol", "status #{status}: #{body}")
  end
end

# What the clients of all kinds share.
class KatamariClient
  UNSET = Object.new.freeze
  GRACE_S = 10.0

  # `url` is that of a node; `token` is needed if the node has tokens.
  def initialize(url = "http://127.0.0.1:7480", token: nil)
    @url = URI(url)
    @headers = {}
    @timeout_s = nil
    @headers["authorization"] = "Bearer #{token}" if token
  end

  # The same client for calls of these options; `call_class` is high, normal or low.
  def with_options(timeout_s: nil, call_class: nil, key: nil, idempotent: nil)
    headers = @headers.dup
    headers["katamari-timeout-ms"] = [1, (timeout_s * 1000).round].max.to_s if timeout_s
    headers["katamari-class"] = call_class.to_s if call_class
    headers["katamari-key"] = key if key
    headers["katamari-idempotent"] = idempotent.to_s unless idempotent.nil?
    timeout_s = timeout_s ? timeout_s + GRACE_S : @timeout_s
    dup.tap do |other|
      other.instance_variable_set(:@headers, headers)
      other.instance_variable_set(:@timeout_s, timeout_s)
    end
  end

  private

  def request(function, arguments)
    http = Net::HTTP.new(@url.host, @url.port)
    http.use_ssl = @url.scheme == "https"
    http.read_timeout = @timeout_s
    # What may be run twice is for the node to say.
    http.max_retries = 0
    post = Net::HTTP::Post.new("#{@url.path.chomp("/")}/call/#{self.class::KIND}/#{function}", @headers)
    if arguments.is_a?(String)
      post["content-type"] = "application/octet-stream"
      post.body = arguments
    else
      post["content-type"] = "application/json"
      post.body = JSON.generate(arguments.reject { |_, value| UNSET.equal?(value) })
    end
    http.start do |connection|
      connection.request(post) do |response|
        unless response.is_a?(Net::HTTPSuccess)
          raise KatamariError.of(response.body, response.code)
        end

        return yield(response)
      end
    end
  end

  def call(function, arguments)
    request(function, arguments) do |response|
      body = response.body
      response["content-type"].to_s.start_with?("application/json") ? JSON.parse(body) : body
    end
  end

  def stream(function, arguments, &block)
    return enum_for(:stream, function, arguments) unless block

    request(function, arguments) do |response|
      if response["content-type"].to_s.start_with?("text/event-stream")
        events(response, &block)
      else
        response.read_body(&block)
      end
    end
    nil
  end

  def events(response)
    rest = String.new
    ended = false
    response.read_body do |part|
      rest << part
      while (event = rest.slice!(/\A.*?\r?\n\r?\n/m))
        fields = event.lines(chomp: true).map { |line| line.split(/: ?/, 2) }
        name = fields.assoc("event")&.last
        data = fields.select { |field, _| field == "data" }.map { |_, value| value.to_s }.join("\n")
        raise KatamariError.of(data, 0) if name == "error"

        ended ||= name == "end"
        yield JSON.parse(data) unless ended || data.empty?
      end
    end
    raise KatamariError.new("worker_lost", "the stream broke off") unless ended
  end
end
