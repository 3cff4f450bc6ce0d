import java.io.PrintStream;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;

import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.common.utils.internals.LogContext;
import org.apache.kafka.coordinator.common.runtime.CoordinatorRecord;
import org.apache.kafka.coordinator.group.GroupCoordinatorRecordHelpers;
import org.apache.kafka.coordinator.group.GroupCoordinatorRecordSerde;
import org.apache.kafka.coordinator.group.OffsetAndMetadata;
import org.apache.kafka.coordinator.group.classic.ClassicGroup;
import org.apache.kafka.coordinator.group.classic.ClassicGroupState;
import org.apache.kafka.coordinator.group.generated.ConsumerGroupCurrentMemberAssignmentValue;
import org.apache.kafka.coordinator.group.generated.OffsetCommitValue;
import org.apache.kafka.coordinator.group.modern.MemberState;
import org.apache.kafka.coordinator.group.modern.consumer.ConsumerGroupMember;
import org.apache.kafka.coordinator.transaction.TransactionLog;
import org.apache.kafka.coordinator.transaction.TransactionState;
import org.apache.kafka.coordinator.transaction.TxnTransitMetadata;
import org.apache.kafka.coordinator.transaction.generated.TransactionLogValue;
import org.apache.kafka.server.common.TransactionVersion;

/**
 * Lets Kafka's coordinators write the records of their topics, one line each, key and value in hexadecimal: "any" TYPE VERSION for every version
 * that there is, with values from a seed, and "own" TYPE - for what a coordinator itself would write, so that its choice of versions shows.
 */
public final class Records {
    private static final Uuid TOPIC = new Uuid(1, 2);

    public static void main(String[] arguments) throws Exception {
        try (PrintStream out = new PrintStream(arguments[0], "UTF-8")) {
            for (var type : org.apache.kafka.coordinator.group.generated.CoordinatorRecordType.values()) {
                if (!type.name().matches("SHARE_.*|STREAMS_.*|LEGACY_.*|.*_PARTITION_METADATA")) {
                    for (int round = 0; round < 3; round++) any(out, type.name(), type.newRecordKey(), type.newRecordValue(), round);
                }
            }
            var type = org.apache.kafka.coordinator.transaction.generated.CoordinatorRecordType.TRANSACTION_LOG;
            for (int round = 0; round < 3; round++) any(out, type.name(), type.newRecordKey(), type.newRecordValue(), round);
            own(out);
        }
    }

    private static void any(PrintStream out, String type, ApiMessage key, ApiMessage value, int round) throws Exception {
        Schema[] schemas = (Schema[]) value.getClass().getField("SCHEMAS").get(null);
        for (short version = value.lowestSupportedVersion(); version <= value.highestSupportedVersion(); version++) {
            Golden seeded = new Golden(1000L * round + version);
            ApiMessage freshKey = key.getClass().getConstructor().newInstance(), fresh = value.getClass().getConstructor().newInstance();
            seeded.fill(freshKey, ((Schema[]) key.getClass().getField("SCHEMAS").get(null))[0]);
            seeded.fill(fresh, schemas[version]);
            possible(fresh, version);
            line(out, "any", type, version, MessageUtil.toCoordinatorTypePrefixedBytes(freshKey), MessageUtil.toVersionPrefixedBytes(version, fresh));
        }
    }

    /** Some fields have only few values that mean something. */
    private static void possible(ApiMessage value, short version) {
        if (value instanceof OffsetCommitValue it) {
            it.setOffset(it.offset() & Long.MAX_VALUE).setLeaderEpoch(version < 3 ? -1 : it.leaderEpoch() & Integer.MAX_VALUE);
        } else if (value instanceof ConsumerGroupCurrentMemberAssignmentValue it) {
            it.setState((byte) (it.state() & 1));
            for (var topics : List.of(it.assignedPartitions(), it.partitionsPendingRevocation())) {
                for (var topic : topics) {
                    if (topic.assignmentEpochs() != null) topic.setAssignmentEpochs(new ArrayList<>(topic.partitions()));
                }
            }
        } else if (value instanceof TransactionLogValue it) {
            it.setProducerId(it.producerId() & Long.MAX_VALUE).setProducerEpoch((short) (it.producerEpoch() & Short.MAX_VALUE));
            it.setTransactionStatus((byte) (it.transactionPartitions() == null ? 0 : 1 + (it.transactionStatus() & 3)));
            it.setTransactionStartTimestampMs(it.transactionStartTimestampMs() & Long.MAX_VALUE).setNextProducerEpoch((short) -1);
            if (version > 0) {
                it.setPreviousProducerId(it.previousProducerId() & Long.MAX_VALUE).setNextProducerId(it.nextProducerId() & Long.MAX_VALUE);
                it.setClientTransactionVersion((short) (it.clientTransactionVersion() & 2));
            }
        }
    }

    private static void own(PrintStream out) {
        ConsumerGroupMember member = new ConsumerGroupMember.Builder("m").setInstanceId("i").setRackId("r").setClientId("c").setClientHost("/h")
            .setRebalanceTimeoutMs(9).setSubscribedTopicNames(List.of("b", "a")).setSubscribedTopicRegex("x.*").setServerAssignorName("range")
            .setMemberEpoch(5).setPreviousMemberEpoch(4).setState(MemberState.UNREVOKED_PARTITIONS)
            .setAssignedPartitions(Map.of(TOPIC, Map.of(3, 2))).setPartitionsPendingRevocation(Map.of(TOPIC, Map.of(4, 1))).build();
        ClassicGroup group = new ClassicGroup(new LogContext(), "g", ClassicGroupState.EMPTY, Time.SYSTEM, 0,
            java.util.Optional.empty(), java.util.Optional.empty(), java.util.Optional.empty(), java.util.Optional.of(7L));
        for (CoordinatorRecord record : List.of(
            GroupCoordinatorRecordHelpers.newOffsetCommitRecord("g", "t", 1,
                new OffsetAndMetadata(10, OptionalInt.of(2), "note", 7, OptionalLong.empty(), TOPIC)),
            GroupCoordinatorRecordHelpers.newOffsetCommitRecord("g", "t", 1,
                new OffsetAndMetadata(10, OptionalInt.empty(), "", 7, OptionalLong.of(8), Uuid.ZERO_UUID)),
            GroupCoordinatorRecordHelpers.newEmptyGroupMetadataRecord(group),
            GroupCoordinatorRecordHelpers.newConsumerGroupEpochRecord("g", 5, 77),
            GroupCoordinatorRecordHelpers.newConsumerGroupMemberSubscriptionRecord("g", member),
            GroupCoordinatorRecordHelpers.newConsumerGroupTargetAssignmentMetadataRecord("g", 5, 7),
            GroupCoordinatorRecordHelpers.newConsumerGroupTargetAssignmentRecord("g", "m", Map.of(TOPIC, Set.of(3))),
            GroupCoordinatorRecordHelpers.newConsumerGroupCurrentAssignmentRecord("g", member),
            GroupCoordinatorRecordHelpers.newConsumerGroupRegularExpressionRecord("g", "x.*",
                new org.apache.kafka.coordinator.group.modern.consumer.ResolvedRegularExpression(Set.of("xy"), 12, 7)),
            GroupCoordinatorRecordHelpers.newOffsetCommitTombstoneRecord("g", "t", 1))) {
            GroupCoordinatorRecordSerde serde = new GroupCoordinatorRecordSerde();
            line(out, "own", record.key().getClass().getSimpleName(), "-", serde.serializeKey(record), serde.serializeValue(record));
        }
        for (TransactionState state : List.of(TransactionState.EMPTY, TransactionState.ONGOING, TransactionState.PREPARE_COMMIT,
            TransactionState.PREPARE_ABORT, TransactionState.COMPLETE_COMMIT, TransactionState.COMPLETE_ABORT)) {
            HashSet<TopicPartition> partitions = new HashSet<>();
            if (state.id() % 4 != 0) partitions.add(new TopicPartition("t", state.id()));
            TxnTransitMetadata transaction = new TxnTransitMetadata(11, state.id() - 1, -1, (short) 3, (short) 2, 60000, state, partitions,
                state == TransactionState.EMPTY ? -1 : 6, 7, TransactionVersion.TV_2);
            line(out, "own", "TransactionLogKey", "-", TransactionLog.keyToBytes("id"), TransactionLog.valueToBytes(transaction, TransactionVersion.TV_2));
        }
    }

    private static void line(PrintStream out, String kind, String type, Object version, byte[] key, byte[] value) {
        out.print(kind + " " + type + " " + version + " " + hex(key) + " " + hex(value) + "\n");
    }

    private static String hex(byte[] bytes) {
        return bytes == null ? "-" : HexFormat.of().formatHex(bytes);
    }
}
