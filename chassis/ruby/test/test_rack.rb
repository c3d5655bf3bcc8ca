# frozen_string_literal: true

# The runner of Rack applications.

require_relative "helper"

class RackTest < Minitest::Test
  CONTENT_TYPE = "application/vnd.katamari.http"

  def setup
    shop = File.join(__dir__, "shop", "config.ru")
    @manager = Manager.new("../bin/katamari-rack", shop, "--slots", "2", "--root", "/shop")
    @hello = @manager.interrogate
  end

  def teardown
    @manager.close
  end

  # The pieces of a stream, and the frame that ends it.
  def ask(method, target, body = "", headers = [])
    head = JSON.generate(method: method, target: target, headers: headers)
    packed = [head.bytesize].pack("N") << head.b << body.b
    @manager.send_call("http", packed, content_type: CONTENT_TYPE)
    pieces = []
    loop do
      frame = @manager.receive
      return pieces, frame if frame.type != "S"

      pieces << frame.payload
      @manager.send_frame("F", { id: frame.header["id"], bytes: frame.payload.bytesize })
    end
  end

  def response(*request)
    pieces, frame = ask(*request)
    assert_equal "R", frame.type, frame
    pieces << frame.payload unless frame.payload.empty?
    length = pieces[0].unpack1("N")
    head = JSON.parse(pieces[0].byteslice(4, length))
    whole = pieces.join
    [head["status"], head["headers"], whole.byteslice(4 + length, whole.bytesize)]
  end

  def test_it_announces_http
    assert_equal %w[shop 2], [@hello["kind"], @hello["slots"].to_s]
    function = @hello["functions"][0]
    assert_equal ["http", true, true, "bytes"],
                 function.values_at("name", "stream", "input", "result")
    assert_equal "bytes", function["parameters"][0]["type"]
  end

  def test_a_request_becomes_an_environment
    headers = [%w[host example:81], %w[x-twice 1], %w[X-Twice 2], %w[x_twice 3]]
    status, given, body = response("POST", "/shop/a%20b?c=1", "\xFFbody", headers)
    assert_equal 200, status
    assert_equal([%w[Set-Cookie a=1], %w[Set-Cookie b=2]], given.last(2))
    expected = "REQUEST_METHOD=POST\nSCRIPT_NAME=/shop\nPATH_INFO=/a%20b\nQUERY_STRING=c=1\n" \
               "SERVER_NAME=example\nHTTP_X_TWICE=1, 2\n" \
               "CONTENT_LENGTH=5\n\xFFbody"
    assert_equal expected.b, body
  end

  def test_the_body_is_read_as_it_comes
    head = JSON.generate(method: "POST", target: "/shop", headers: [%w[Content-Length 9]])
    packed = [head.bytesize].pack("N") << head.b
    id = @manager.send_call("http", packed, content_type: CONTENT_TYPE, input: true)
    assert_equal "G", @manager.receive.type
    @manager.send_frame("I", { id: id }, "one,")
    @manager.send_frame("I", { id: id, end: true }, "\xFFtwo.")
    body = @manager.receive.payload
    assert body.end_with?("CONTENT_LENGTH=9\none,\xFFtwo.".b), body
  end

  def test_responses_of_all_sorts
    assert_equal [204, [], ""], response("GET", "/nothing")
    assert_equal "x" * 1_000_000, response("GET", "/long")[2]
    assert_equal "", response("HEAD", "/long")[2]
    assert_equal 2, @manager.log.scan("closed").size
  end

  def test_a_short_response_is_one_frame
    pieces, frame = ask("GET", "/announced")
    assert_equal [[], "R"], [pieces, frame.type]
    assert frame.payload.end_with?("]]}hello"), frame.payload
    assert_equal 1, @manager.log.scan("closed").size, "before it goes out"
    assert_equal "hello", response("GET", "/parts")[2]
    assert_equal 300_000, response("GET", "/large")[2].bytesize
    assert_equal "", response("HEAD", "/announced")[2]
  end

  def test_what_the_application_raises_is_an_error
    pieces, frame = ask("GET", "/raise")
    assert_equal [[], "E", "KeyError"], [pieces, frame.type, frame.header["type"]]
    assert_equal 204, response("GET", "/nothing")[0]
  end
end
