# frozen_string_literal: true

# Claims the two descriptors that a manager gives to a worker.
#
# This happens when the library is required, before the program gets to start children of its own:
# both are set to close-on-exec, and `KATAMARI_PROTOCOL`, which promises them, is taken out of the
# environment that children inherit. A child that is forked closes them: one that lives on would
# hold the pipes open, and one that read or wrote there would break the protocol.

require "rbconfig"
require "shellwords"

module Katamari
  # See the top of this file.
  module Descriptors
    FROM_MANAGER = 3
    TO_MANAGER = 4

    PROTOCOL = "1"

    EXIT_USAGE = 64 # EX_USAGE of sysexits.h, as the protocol asks

    class << self
      # The two ends, as IO; nil if there are none, and in a forked child.
      attr_reader :from_manager, :to_manager

      def claim
        @offered = ENV.delete("KATAMARI_PROTOCOL")
        return if @offered.nil?

        @from_manager = open(FROM_MANAGER, "rb")
        @to_manager = open(TO_MANAGER, "wb")
        @to_manager&.sync = true
      end

      # Exits with status 64 and an explanation if no manager started this program.
      def require_manager
        complaint = complaint()
        return if complaint.nil?

        command = [RbConfig::CONFIG["ruby_install_name"], $PROGRAM_NAME, *ARGV].shelljoin
        warn "This program is a Katamari worker: #{complaint}",
             "To try it: katamari check -- #{command}"
        exit EXIT_USAGE
      end

      # Closes both: called in every forked child.
      def leave_to_parent
        [@from_manager, @to_manager].compact.each(&:close)
        @from_manager = @to_manager = nil
      end

      private

      def open(number, mode)
        io = IO.for_fd(number, mode, autoclose: false)
        # Not open when Ruby started, the number may by now be one of Ruby's own.
        return nil unless io.stat.pipe? || io.stat.socket?

        io.autoclose = true # else `close` would keep it open
        io.close_on_exec = true
        io
      rescue SystemCallError, ArgumentError # the second if Ruby keeps it for itself
        nil # `require_manager` says so, in a sentence instead of a backtrace
      end

      def complaint
        if @offered.nil?
          "KATAMARI_PROTOCOL is not set, so no manager started it."
        elsif !@offered.split(",").include?(PROTOCOL)
          "the manager speaks #{@offered.inspect}, and this chassis speaks version #{PROTOCOL} " \
            "of dialect \"json\"."
        elsif @from_manager.nil? || @to_manager.nil?
          "descriptors 3 and 4 are not open."
        end
      end
    end

    # Every fork of Ruby 3.1 and newer passes here.
    module ClosedInChildren
      def _fork
        pid = super
        Descriptors.leave_to_parent if pid.zero?
        pid
      end
    end

    Process.singleton_class.prepend(ClosedInChildren) if Process.respond_to?(:_fork)
    claim
  end
end
