# frozen_string_literal: true

# Payloads: values as JSON, or bytes with a content type.

require "json"

module Katamari
  # Bytes that are not JSON, as an argument, a result or a piece of a stream.
  class Payload
    attr_reader :data, :content_type

    def initialize(data, content_type)
      raise TypeError, "data: expected a String, not #{data.inspect}" unless data.is_a?(String)
      unless content_type.is_a?(String) && !content_type.empty?
        raise TypeError, "content_type: expected text, not #{content_type.inspect}"
      end

      @data = data
      @content_type = content_type
    end
  end

  # Returned by a function: answer with `value`, then exit. No further call comes, and the manager
  # starts a replacement.
  class Last
    attr_reader :value

    def initialize(value = nil)
      @value = value
    end
  end

  # JSON text and payloads.
  module Values
    JSON_TYPE = "application/json"
    OCTETS = "application/octet-stream"

    # Levels of arrays and objects in a value: deep enough for any data, and far from what would
    # overflow the stack.
    DEPTH_MAX = 1000

    module_function

    # The one JSON value in `data`. Raises `JSON::ParserError` if it is anything else.
    def parse(data)
      text = data.encoding == Encoding::UTF_8 ? data : data.dup.force_encoding(Encoding::UTF_8)
      raise JSON::ParserError, "text that is not UTF-8" unless text.valid_encoding?

      JSON.parse(text, max_nesting: DEPTH_MAX)
    end

    # JSON text of a value, as bytes. Raises `JSON::GeneratorError`, `JSON::NestingError`.
    def dump(value)
      JSON.generate(value, max_nesting: DEPTH_MAX).b
    end

    # The value of a payload; a `Payload` if its content type is not JSON.
    def decode(data, content_type)
      if content_type.nil? || content_type.partition(";").first.strip == JSON_TYPE
        parse(data)
      else
        Payload.new(data, content_type)
      end
    end

    # The payload of a value, and its content type if it is not JSON. A String is taken for bytes
    # only where `bytes` says that they are meant.
    def encode(value, bytes: false)
      if value.is_a?(Payload)
        [value.data.b, value.content_type]
      elsif bytes && value.is_a?(String)
        [value.b, OCTETS]
      else
        [dump(value), nil]
      end
    end
  end
end
